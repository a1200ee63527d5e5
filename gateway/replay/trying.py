"""A dry run: what another recipe makes of a stretch of the journal, held against what went out then.

What was: the positions that the record says were delivered, made again by the recipe that was in force when
they went out. What would be: the recipe given. Codes are translated on both sides as of the event's time,
by the rows as they stand now, and routes that enrich read what the read models know now. Nothing is sent, and
memory is bounded by a page.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, Final

import msgspec

from canonical.errors import ConfigError
from canonical.event import Event
from canonical.ports import Recorded
from gateway import recipes
from gateway.replay.delivered import Delivered
from gateway.replay.differences import Tally, shown
from gateway.replay.making import Ask, Broken, Made, Maker, compared
from gateway.versions import Recipe
from router.crosswalk import Crosswalk
from router.journal import Header
from router.journal.sqlite import SQLiteJournal

__all__ = ["KINDS", "DryRun"]

KINDS: Final = ("unchanged", "changed", "added", "removed", "failing", "unknown")
"""``added``: was not delivered and would be; ``removed``: the other way round; ``failing``: the mapping
would fail; ``unknown``: was delivered, and can't be made again, so that there is nothing to compare."""
_PAGE: Final = 500
_EXAMPLES: Final = 5
_LARGEST_FILE_BYTES: Final = 256_000_000


class DryRun:
    """One of them. ``reached`` is how far it is; ``counts``, ``tally`` and ``examples`` grow with it."""

    def __init__(
        self,
        journal: SQLiteJournal,
        route: str,
        after: Maker,
        before: Sequence[Recipe],
        *,
        python: Sequence[Path],
        ask: Ask,
        then: Crosswalk,
        now: Crosswalk,
        first: int,
        last: int,
        sees: Callable[[Event], bool],
        file: Path,
    ) -> None:
        """``before``: the route's recipes, oldest first; ``then`` and ``now``: the rows of either side.
        ``ask`` is called in a thread."""
        self._journal, self._after, self._sees = journal, after, sees
        self._then, self._now = then, now
        self._delivered = Delivered(route, first)
        self._before = _Before(route, before, python, ask)
        self._last, self._path = last, file
        self.reached = first - 1
        self.events = 0
        self.counts: Counter[str] = Counter(dict.fromkeys(KINDS, 0))
        self.tally = Tally()
        self.examples: dict[str, list[dict[str, Any]]] = {}
        self.truncated = False

    async def run(self) -> None:
        """To the end. Raises OSError when the differences cannot be written."""
        with self._path.open("wb") as file:
            while self.reached < self._last:
                page, reached = await self._journal.events(self.reached, limit=_PAGE, wanted=self._wants)
                reached = min(reached, self._last) if page or reached > self.reached else self._last
                items = [one for one in page if one.position <= self._last and self._sees(one.event)]
                delivered = await self._journal.read(partial(self._delivered.up_to, last=reached))
                await asyncio.to_thread(self._compare, items, delivered, file)
                self.reached = reached

    def _wants(self, header: Header) -> bool:
        return self._after.route.wants(header) or self._before.wants(header)

    def _compare(self, items: Sequence[Recorded], delivered: Mapping[int, float], file: BinaryIO) -> None:
        for item in items:
            at = delivered.get(item.position)
            before = None if at is None else self._before.make(item.event, at, self._then)
            after = self._after.make(item.event, self._now)
            if before is None and after is None and not self._after.route.takes(item.event):
                continue
            self.events += 1
            self._judge(item, before, after, file)

    def _judge(
        self, item: Recorded, before: Made | Broken | None, after: Made | Broken | None, file: BinaryIO
    ) -> None:
        kind, told = self._verdict(item, before, after)
        self.counts[kind] += 1
        if kind != "unchanged":
            self._tell(item, kind, told, file)

    def _verdict(
        self, item: Recorded, before: Made | Broken | None, after: Made | Broken | None
    ) -> tuple[str, dict[str, Any]]:
        for side, kind in ((before, "unknown"), (after, "failing")):
            if isinstance(side, Broken):
                return kind, {"code": side.code, "error": side.error}
        assert not isinstance(before, Broken)
        assert not isinstance(after, Broken)
        if before is None:
            return ("unchanged", {}) if after is None else ("added", {"after": after.payload})
        if after is None:
            return "removed", {"before": before.payload}
        found = list(compared(before, after))
        if not found:
            return "unchanged", {}
        self.tally.add(item.position, found)
        return "changed", {"fields": [shown(one) for one in found]}

    def _tell(self, item: Recorded, kind: str, told: Mapping[str, Any], file: BinaryIO) -> None:
        event = item.event
        line: dict[str, Any] = {"position": item.position, "id": event.id, "source": event.source}
        line |= {"type": event.type, "plant": event.plantid, "kind": kind, **told}
        examples = self.examples.setdefault(kind, [])
        if kind != "changed" and len(examples) < _EXAMPLES:
            examples.append({"position": item.position, **told})
        if file.tell() < _LARGEST_FILE_BYTES:
            file.write(msgspec.json.encode(line) + b"\n")
        else:
            self.truncated = True


class _Before:
    """The route as it was when each delivery went out."""

    def __init__(self, route: str, known: Sequence[Recipe], python: Sequence[Path], ask: Ask) -> None:
        self._since: list[float] = []
        self._makers: list[Maker | Broken] = []
        for recipe in known:
            self._since.append(recipe.at)
            try:
                self._makers.append(Maker(recipes.compiled(route, recipe.text, python), ask))
            except ConfigError as error:
                self._makers.append(Broken(code=error.code, error=error.message))

    def wants(self, header: Header) -> bool:
        return any(isinstance(maker, Maker) and maker.route.wants(header) for maker in self._makers)

    def make(self, event: Event, at: float, crosswalk: Crosswalk) -> Made | Broken:
        """What was delivered at that moment; before the first version that is known, by that one."""
        newer = [index for index, since in enumerate(self._since) if since <= at]
        maker = self._makers[newer[-1] if newer else 0] if self._makers else None
        if maker is None:
            return Broken(code="recipe", error="it is not known any more how the route made it")
        if isinstance(maker, Broken):
            return maker
        made = maker.make(event, crosswalk)
        return made or Broken(
            code="recipe", error="the route of then leaves it out, and yet it was delivered"
        )
