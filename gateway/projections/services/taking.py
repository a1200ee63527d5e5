"""From an event to the entries that it makes: which things it is about, and what is taken of its data."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from operator import gt
from typing import Any, Final

from canonical import catalogue
from canonical.event import Event
from canonical.ports import Recorded
from gateway.projections.services.entry import Entry, happened, seconds
from gateway.projections.services.fold import at_path
from gateway.projections.services.service import SEPARATOR, Part, Service

__all__ = ["DID_NOT_OCCUR", "REASON", "Taking"]

REASON: Final = "correctionreason"
"""Extension of an event with ``correctsid``: ``incorrect_data`` (its data take the place of the corrected
event's; also when it is left out) or ``did_not_occur`` (nothing takes its place)."""
DID_NOT_OCCUR: Final = "did_not_occur"


class _Plan:
    """What one service takes of one type."""

    def __init__(self, service: Service, type_: str) -> None:
        self.service = service
        self.stamp = service.stamp_of(catalogue.get(type_).suffix)
        reads = service.types[type_]
        names = {path.partition(".")[0] for each in reads for path in (*each.fields.values(), *each.keep)}
        names |= {path.partition(".")[0] for part in service.identity for path in part.paths}
        names |= {each.by for each in service.each}
        self.names = frozenset(names - {"subject"})
        self.only_last = service.keep == 0 and service.families is None
        paths = {path for part in service.identity for path in part.paths}
        self._by_subject = "subject" in paths
        self._told = None if any("." in path for path in paths) else sorted(paths - {"subject"})

    def families(self, event: Event) -> Iterator[tuple[str, dict[str, Any]]]:
        """(family, data) of each thing that the event is about."""
        if self.service.families is not None:
            yield from self.service.families(event)
            return
        family = _family(self.service.identity, event)
        if family is not None:
            yield family, self.of(event)

    def of(self, event: Event) -> dict[str, Any]:
        """The data that the service reads."""
        names = self.names
        return {name: value for name, value in event.data.items() if name in names}

    def newest(self, items: Iterable[Recorded]) -> dict[tuple[str, str | None], tuple[float, Recorded]]:
        """By (family, plant) the last event of each thing and its stamp; positions grow."""
        last: dict[tuple[str, str | None], tuple[float, Recorded]] = {}
        if self.stamp in ("position", "time", "revision") or "." in self.stamp or self._told is None:
            for item in items:
                self._note(item, _family(self.service.identity, item.event), last)
            return last
        for item in self._without_the_overtaken(items, self._told):
            self._note(item, _family(self.service.identity, item.event), last)
        return last

    def _without_the_overtaken(self, items: Iterable[Recorded], told: Sequence[str]) -> list[Recorded]:
        """The events but for those that another one of the same thing stands before, as far as texts tell.

        Of two times in UTC that are written with as many digits, the later one is the greater text.
        """
        items = list(items)
        if (last := self._last_of_each(items, told)) is not None:
            return last
        stamp, by_subject = self.stamp, self._by_subject
        newest: dict[tuple[Any, ...], tuple[str, Recorded]] = {}
        left: list[Recorded] = []
        for item in items:
            event = item.event
            data, text = event.data, event.data.get(stamp)
            if text.__class__ is not str or not text.endswith("Z"):
                left.append(item)
                continue
            written = (len(text), text[10:11])
            made_of = (written, event.plantid, by_subject and event.subject, *[data.get(n) for n in told])
            try:
                known = newest.get(made_of)
                if known is None or text >= known[0]:
                    newest[made_of] = (text, item)
            except TypeError:  # of a list: no name of anything
                left.append(item)
        return sorted([*left, *(item for _, item in newest.values())], key=lambda item: item.position)

    def _last_of_each(self, items: Sequence[Recorded], told: Sequence[str]) -> list[Recorded] | None:
        """The same where all times are written alike and grow, as those of one machine do; else None."""
        events = [item.event for item in items]
        datas = [event.data for event in events]
        texts = [data.get(self.stamp) for data in datas]
        if set(map(type, texts)) != {str} or len({(len(text), text[10:11], text[-1:]) for text in texts}) > 1:
            return None
        if texts[0][-1:] != "Z" or any(map(gt, texts, texts[1:])):
            return None
        subjects = [event.subject for event in events] if self._by_subject else ()
        made_of = zip(
            [event.plantid for event in events],
            *([subjects] if subjects else []),
            *([data.get(name) for data in datas] for name in told),
            strict=True,
        )
        try:
            return sorted(dict(zip(made_of, items, strict=True)).values(), key=lambda item: item.position)
        except TypeError:  # of a list: no name of anything
            return None

    def _note(
        self, item: Recorded, family: str | None, last: dict[tuple[str, str | None], tuple[float, Recorded]]
    ) -> None:
        if family is not None:
            key = (family, item.event.plantid)
            stamp, known = self.stamped(item), last.get(key)
            if known is None or stamp >= known[0]:
                last[key] = (stamp, item)

    @staticmethod
    def entry(item: Recorded, stamp: float, data: dict[str, Any]) -> Entry:
        """An event's entry."""
        event = item.event
        at = happened(event)
        return Entry(
            item.position, stamp, at, event.plantid, event.source, event.type, event.id, event.subject, data
        )

    def stamped(self, item: Recorded) -> float:
        """The entry's place in the service's order."""
        match self.stamp:
            case "position":
                return float(item.position)
            case "time":
                return happened(item.event)
            case "revision":
                return _revision(item.event.data.get("revision"))
            case path:
                return seconds(at_path(item.event.data, path)) or happened(item.event)


def _family(identity: Sequence[Part], event: Event) -> str | None:
    parts: list[str] = []
    for part in identity:
        value = _first(part, event)
        if not value and not part.optional:
            return None
        parts.append(value.replace(SEPARATOR, " "))
    return SEPARATOR.join(parts)


def _first(part: Part, event: Event) -> str:
    for path in part.paths:
        value = event.subject if path == "subject" else at_path(event.data, path)
        if value is not None and value != "":
            return str(value)
    return ""


def _revision(value: Any) -> float:
    text = str(value)
    return float(text) if text.isascii() and text.isdigit() and len(text) < 16 else 0.0


class Taking:
    """What services take of the journal."""

    def __init__(self, services: Sequence[Service]) -> None:
        self._plans: dict[str, list[_Plan]] = {}
        for service in services:
            for type_ in service.types:
                self._plans.setdefault(type_, []).append(_Plan(service, type_))

    @property
    def types(self) -> frozenset[str]:
        """The CloudEvents types that are read at all."""
        return frozenset(self._plans)

    def entries(self, item: Recorded) -> Iterator[tuple[Service, str, Entry]]:
        """(service, family, entry) of everything that an event says."""
        if _says_nothing(item.event):
            return
        for plan in self._plans.get(item.event.type, ()):
            for family, data in plan.families(item.event):
                yield plan.service, family, plan.entry(item, plan.stamped(item), data)

    def batch(self, items: Iterable[Recorded]) -> dict[tuple[str, str], list[Entry]]:
        """The entries of many events by (service, family).

        Of services that keep nothing beside the last there is only that, per plant; so a flood of telemetry
        costs one entry per tag.
        """
        found: dict[tuple[str, str], list[Entry]] = {}
        floods: dict[_Plan, list[Recorded]] = {}
        for item in items:
            if _says_nothing(item.event):
                continue
            for plan in self._plans.get(item.event.type, ()):
                if plan.only_last:
                    floods.setdefault(plan, []).append(item)
                    continue
                for family, data in plan.families(item.event):
                    entry = plan.entry(item, plan.stamped(item), data)
                    found.setdefault((plan.service.name, family), []).append(entry)
        for plan, flood in floods.items():
            for (family, _), (stamp, item) in plan.newest(flood).items():
                entry = plan.entry(item, stamp, plan.of(item.event))
                found.setdefault((plan.service.name, family), []).append(entry)
        return found

    def families(self, event: Event) -> Iterator[tuple[Service, str]]:
        """(service, family) of everything that an event is about."""
        if isinstance(event.data, dict):
            for plan in self._plans.get(event.type, ()):
                for family, _ in plan.families(event):
                    yield plan.service, family


def _says_nothing(event: Event) -> bool:
    if event.extensions and event.extensions.get(REASON) == DID_NOT_OCCUR:
        return True
    return not isinstance(event.data, dict)
