"""Which files of a folder are ready to be taken, in which order. Pure: times are handed in.

Ages are measured on our own clock, from when a version of a file was first seen: the clock of the
folder's server may be wrong. So every file is looked at again after a restart.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from fnmatch import fnmatchcase

from msgspec import Struct

from canonical.exchange.folder import Entry
from canonical.exchange.naming import REASON, done_name, is_done_name, leftover_of, unsafe
from canonical.exchange.options import DoneFile, PickUp, Stable

__all__ = ["Choice", "Readiness", "Waiting"]

_TOLERANCE_S = 0.01  # timers may fire a little early


class Waiting(Struct, frozen=True):
    """A file that is not ready, why, and since when (monotonic) this version of it is known."""

    entry: Entry
    why: str
    since_s: float


class Choice(Struct, frozen=True, kw_only=True):
    """What one look at a folder says.

    ``ready`` is sorted. ``recheck_s``: when a further look can change anything by itself; None: not
    before something happens. ``refused``: (name, what is wrong with it), never to be taken.
    """

    ready: list[Entry]
    waiting: list[Waiting]
    refused: list[tuple[str, str]]
    leftovers: list[Entry]
    recheck_s: float | None = None


class _Seen(Struct):
    entry: Entry
    since_s: float
    checked_s: float
    unchanged: int = 0


class Readiness:
    """Remembers what it saw, and tells what is ready now."""

    def __init__(self, rules: PickUp, least_age_s: float = 0.0) -> None:
        """``least_age_s``: the resolution of the folder's times; no file is ready before."""
        self._rules = rules
        self._age_s = max(rules.min_age or 0.0, least_age_s)
        self._seen: dict[str, _Seen] = {}

    def forget(self, name: str) -> None:
        """Looks at this file as if for the first time."""
        self._seen.pop(name, None)

    def look(self, entries: Iterable[Entry], now_s: float, held: Collection[str] = ()) -> Choice:
        """What is ready at ``now_s`` (monotonic). ``held``: names that are on their way already."""
        everything = {entry.name: entry for entry in entries}
        choice = Choice(
            ready=[],
            waiting=[],
            refused=[],
            leftovers=[entry for entry in everything.values() if leftover_of(entry.name)],
        )
        candidates = [entry for entry in everything.values() if self._wanted(entry)]
        recheck_s: list[float] = []
        for entry in candidates:
            if fault := _fault(entry):
                choice.refused.append((entry.name, fault))
            elif entry.name not in held:
                seen = self._observe(entry, now_s)
                why, wait_s = self._why_not(seen, everything, now_s)
                if why:
                    choice.waiting.append(Waiting(entry, why, seen.since_s))
                    recheck_s += [wait_s] if wait_s is not None else []
                else:
                    choice.ready.append(entry)
        names = {entry.name for entry in candidates}
        self._seen = {name: seen for name, seen in self._seen.items() if name in names}
        choice.ready.sort(key=self._order)
        return Choice(
            ready=choice.ready,
            waiting=choice.waiting,
            refused=choice.refused,
            leftovers=choice.leftovers,
            recheck_s=min(recheck_s, default=None),
        )

    def _wanted(self, entry: Entry) -> bool:
        rules, name = self._rules, entry.name
        if entry.kind == "other" or name.endswith(REASON) or leftover_of(name):
            return False
        if isinstance(rules.ready, DoneFile) and is_done_name(rules.ready.name, name):
            return False
        return _any(rules.match, name) and not _any(rules.ignore, name)

    def _observe(self, entry: Entry, now_s: float) -> _Seen:
        seen = self._seen.get(entry.name)
        if seen is None or not entry.same_version(seen.entry):
            seen = self._seen[entry.name] = _Seen(entry, since_s=now_s, checked_s=now_s)
        elif now_s - seen.checked_s >= self._interval_s - _TOLERANCE_S:
            seen.unchanged, seen.checked_s = seen.unchanged + 1, now_s
        return seen

    @property
    def _interval_s(self) -> float:
        return self._rules.ready.interval if isinstance(self._rules.ready, Stable) else 0.0

    def _why_not(self, seen: _Seen, entries: dict[str, Entry], now_s: float) -> tuple[str, float | None]:
        """(why it is not ready, or empty; seconds until that can change by itself)."""
        rules, entry = self._rules, seen.entry
        if entry.size_bytes == 0 and rules.empty == "wait":
            return "it is empty", None
        match rules.ready:
            case Stable(checks=checks, interval=interval) if seen.unchanged < checks:
                return "it is not stable yet", max(0.0, seen.checked_s + interval - now_s)
            case DoneFile(name=pattern):
                wanted = done_name(pattern, entry.name)
                if wanted not in entries or entries[wanted].kind != "file":
                    return f"there is no {wanted!r}", None
            case _:
                pass
        left_s = seen.since_s + self._age_s - now_s
        return ("it is too young", left_s) if left_s > _TOLERANCE_S else ("", None)

    def _order(self, entry: Entry) -> tuple[int, str]:
        return (entry.mtime_ns if self._rules.order == "mtime" else 0, entry.name)


def _fault(entry: Entry) -> str:
    if entry.kind == "link":
        return "it is a symbolic link"
    return unsafe(entry.name)


def _any(patterns: Iterable[str], name: str) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)
