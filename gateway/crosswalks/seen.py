"""What the journal says about codes: GTINs and descriptions in the events, bounded in what is read."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final

from msgspec import Struct, structs

from canonical import catalogue
from canonical.errors import Unresolved
from canonical.event import Event
from canonical.ports import Recorded
from gateway.crosswalks.candidates import Known, Question
from gateway.hub import Hub
from gateway.projections.questions import Filters
from gateway.reading import those
from router import parked
from router.enrichment import of_record
from router.parked import Parked
from router.routes import Codes

__all__ = ["asked", "known"]

_WAITING: Final = 20
_NEWEST: Final = 2_000
"""Events at the journal's end that are looked through for GTINs."""
_CHANGES: Final = 1_000
"""Changes of master data that are looked through, the newest."""
_LISTED: Final = 100_000
_DEPTH: Final = 8
_TEXTS: Final = ("description", "text", "name")
_OTHERS: Final = ("supplier_item", "plant_item")


class Entry(Struct, frozen=True, kw_only=True):
    """A code, and what stands beside it where an event names it."""

    code: str
    gtin: str
    description: str
    others: tuple[str, ...]


async def asked(
    hub: Hub, domain: str, system: str, value: str, sees: Callable[[Event], bool], outward: bool | None = None
) -> Question:
    """The question, with what the waiting events say of the code. ``outward`` None: as they need it."""
    heads = await hub.journal.read(lambda t: parked.waiting(t, domain, system, value, limit=_WAITING))
    heads = [head for head in heads if sees(head.event)]
    if outward is None:
        outward = bool(heads) and not _inward(hub, heads[0], system, value)
    entries = [entry for head in heads for entry in _entries(head.event.data) if entry.code == value]
    return Question(
        domain=domain,
        system=system,
        value=value,
        outward=outward,
        waiting=frozenset(head.position for head in heads),
        gtins=frozenset(entry.gtin for entry in entries if entry.gtin),
        descriptions=tuple(sorted({entry.description for entry in entries if entry.description})),
    )


def _inward(hub: Hub, head: Parked, system: str, value: str) -> bool:
    """Whether it is the source's own code that nobody knows."""
    if of_record(head.error):
        return True
    engine = hub.engines.get(head.route)
    codes = engine.route.inbound.get(head.event.source) if engine is not None else None
    return engine is None or (codes is not None and codes.system == system and _holds(head.event.data, value))


def _holds(data: Any, value: str) -> bool:
    if isinstance(data, dict):
        return any(_holds(inner, value) for inner in data.values())
    if isinstance(data, list):
        return any(_holds(inner, value) for inner in data)
    return bool(data == value)


async def known(
    hub: Hub, question: Question, inbound: Mapping[str, Codes], sees: Callable[[Event], bool]
) -> list[Known]:
    """Canonical items with their GTINs and descriptions. ``inbound``: whose codes a source's events carry;
    ``sees``: whether an event may be shown to who asks."""
    found: list[Known] = []

    def take(recorded: Iterable[Recorded], *, changed: bool) -> None:
        for item in recorded:
            if sees(item.event) and item.position not in question.waiting:
                found.extend(_read(hub, item, inbound.get(item.event.source), changed=changed))

    if question.domain == "item":
        filters = Filters(type=catalogue.full_name("masterdata.item.changed"))
        positions = await hub.search.page(filters, after=0, limit=_LISTED)
        take(await those(hub.journal, positions[-_CHANGES:]), changed=True)
        recorded, _ = await hub.journal.events(max(hub.journal.head - _NEWEST, 0), limit=_NEWEST)
        take(recorded, changed=False)
    return found


def _read(hub: Hub, item: Recorded, codes: Codes | None, *, changed: bool) -> Iterator[Known]:
    """What an event names, by its canonical code: as it stands there, or as the crosswalk translates it."""
    event, where = item.event, f"{'changed' if changed else 'seen'} in event {item.position}"
    at = event.time or event.recordedtime
    for entry in _entries(event.data):
        if at is None or not (changed or entry.gtin or entry.others):
            continue
        code = entry.code
        if codes is not None:
            place = {"domain": "item", "system": codes.system, "plant": event.plantid or ""}
            try:
                code = hub.crosswalks.current.canonical(value=code, at=at, **place)
            except Unresolved:
                continue
        yield _known(structs.replace(entry, code=code), where)


def _known(entry: Entry, where: str) -> Known:
    return Known(
        code=entry.code, gtin=entry.gtin, description=entry.description, others=entry.others, where=where
    )


def _entries(value: Any, depth: int = 0) -> Iterator[Entry]:
    """Whatever names an item, with what stands beside it."""
    if depth > _DEPTH:
        return
    inner: Iterable[Any] = ()
    if isinstance(value, dict):
        code, snapshot = value.get("item", value.get("key")), value.get("snapshot")
        record = {**snapshot, **value} if isinstance(snapshot, dict) else value
        if isinstance(code, str):
            yield Entry(
                code=code,
                gtin=_text(record, ("gtin",)),
                description=_text(record, _TEXTS),
                others=tuple(other for name in _OTHERS if isinstance(other := record.get(name), str)),
            )
        inner = value.values()
    elif isinstance(value, list):
        inner = value
    for each in inner:
        yield from _entries(each, depth + 1)


def _text(record: Mapping[str, Any], names: Iterable[str]) -> str:
    return next((text for name in names if isinstance(text := record.get(name), str) and text), "")
