"""One event's way in steps, ready to be drawn: what arrived, what it became, where it went, what waits."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from msgspec import Struct

from canonical.errors import CrossplantError, Unresolved
from canonical.event import Event
from canonical.ports import RawMessage, Recorded
from gateway import trail
from gateway.api.answers import readable
from gateway.api.events import visible
from gateway.api.timeline import sees_raw
from gateway.auth import Principal
from gateway.hub import Hub
from gateway.projections.search import Hit
from gateway.trail import Trail
from router.crosswalk import Crosswalk
from router.enrichment import Bare
from router.paths import replace_at
from router.routes import Codes, Route

__all__ = ["Changed", "Field", "Way", "Went", "fields_of", "way_of"]

_RELATED = 20
_SHOWN_BYTES = 20_000
_MOST_FIELDS = 200


class Field(Struct, frozen=True, kw_only=True):
    """A value at a place in the data."""

    path: str
    value: str
    meaning: str = ""
    """What a source's own code means, where a crosswalk says it."""


class Changed(Struct, frozen=True, kw_only=True):
    """A code that was replaced: ``before`` is the source's (empty: it came in our own), ``after`` the
    target's (empty: it gets ours)."""

    path: str
    before: str
    meaning: str
    after: str


class Went(Struct, frozen=True, kw_only=True):
    """One route: its trail, how long it took from recording, and what it sends as of now."""

    trail: Trail
    to: str
    took_s: float | None
    payload: str
    problem: str
    changed: list[Changed]
    missing: Unresolved | None


class Way(Struct, frozen=True, kw_only=True):
    """All of it. ``raw`` None: it may not be seen, or has gone."""

    position: int
    event: Event
    adapter: str
    raw: RawMessage | None
    raw_shown: dict[str, Any]
    raw_hidden: bool
    fields: list[Field]
    went: list[Went]
    passed: list[Trail]
    elsewhere: int
    causes: list[Hit]
    effects: list[Hit]

    @property
    def happened_at(self) -> datetime | None:
        """By the source's clock."""
        return self.event.time

    @property
    def recorded_at(self) -> datetime:
        """When it was safe here."""
        return self.event.recordedtime or self.event.time or datetime.fromtimestamp(0, UTC)

    @property
    def ended(self) -> list[Went | Hit]:
        """Where it went, and what it caused, in the order in which that happened."""
        went: list[tuple[float, Went | Hit]] = [
            (each.trail.at, each) for each in self.went if each not in self.waits
        ]
        caused: list[tuple[float, Went | Hit]] = [(hit.recorded_at, hit) for hit in self.effects]
        return [each for _, each in sorted([*went, *caused], key=lambda pair: pair[0])]

    @property
    def waits(self) -> list[Went]:
        """Routes on which it is not finished."""
        return [each for each in self.went if each.trail.state not in {"delivered", "discarded"}]


async def way_of(hub: Hub, principal: Principal, item: Recorded) -> Way:
    """What is known of one event that may be seen."""
    event = item.event
    shown = sees_raw(hub, principal, item)
    raw = await hub.journal.raw(item.position) if shown else None
    trails, _ = await trail.read(hub, item)
    seen = visible(principal)
    causes = (
        await hub.search.identified(event.causationid, seen=seen, limit=_RELATED) if event.causationid else []
    )
    effects = await hub.search.effects(event.id, seen=seen, limit=_RELATED)
    return Way(
        position=item.position,
        event=event,
        adapter=raw.adapter if raw else event.source.rpartition("/")[2],
        raw=raw,
        raw_shown=readable(raw.body, _SHOWN_BYTES) if raw else {},
        raw_hidden=not shown,
        fields=fields_of(hub, event),
        went=[
            await _went(hub, event, each) for each in trails if each.state not in {"not_matched", "passed"}
        ],
        passed=[each for each in trails if each.state == "passed"],
        elsewhere=sum(each.state == "not_matched" for each in trails),
        causes=causes,
        effects=effects,
    )


def fields_of(hub: Hub, event: Event) -> list[Field]:
    """The data's values with their paths; codes of the source with what they mean."""
    meanings = _inward(hub, event)
    found: list[Field] = []
    for path, value in _flat(event.data, ""):
        if len(found) >= _MOST_FIELDS:
            break
        found.append(
            Field(path=path.removeprefix("/").replace("/", "."), value=value, meaning=meanings.get(path, ""))
        )
    return found


def _flat(value: Any, path: str) -> Iterator[tuple[str, str]]:
    match value:
        case {"value": str() | int() as amount, "uom": str(unit), **rest} if not rest:
            yield path, f"{amount} {unit}"
        case dict():
            for name, inner in value.items():
                yield from _flat(inner, f"{path}/{name}")
        case list():
            for index, inner in enumerate(value):
                yield from _flat(inner, f"{path}/{index}")
        case None:
            return
        case bool():
            yield path, "yes" if value else "no"
        case _:
            yield path, str(value)


def _inward(hub: Hub, event: Event) -> dict[str, str]:
    """What the source's codes mean, by their place: by the rows of now, as of the event's time."""
    for engine in hub.engines.values():
        codes = engine.route.inbound.get(event.source)
        if codes is not None:
            return _translated(event, event.data, codes, hub.crosswalks.current, inward=True)
    return {}


def _translated(
    event: Event, data: Any, codes: Codes, crosswalk: Crosswalk, *, inward: bool
) -> dict[str, str]:
    """What a crosswalk makes of the codes, by their place; those that it does not know are left out."""
    plant, at = event.plantid or "", event.time or event.recordedtime or datetime.now(UTC)
    found: dict[str, str] = {}
    for path, domain in codes.domains(event.type):

        def one(value: str, place: str, domain: str = domain) -> str:
            known = {"domain": domain, "system": codes.system, "plant": plant}
            try:
                if inward:
                    other = crosswalk.canonical(value=value, at=at, **known)
                else:
                    other = crosswalk.code(canonical=value, at=at, **known)
            except CrossplantError:
                return value
            found[place] = other
            return other

        replace_at(data, path, one)
    return found


async def _went(hub: Hub, event: Event, each: Trail) -> Went:
    engine = hub.engines.get(each.route)
    recorded = event.recordedtime
    took_s = each.at - recorded.timestamp() if each.state == "delivered" and recorded and each.at else None
    payload, problem, missing = "", "", None
    try:
        delivery = engine.route.deliver(event, hub.crosswalks.current) if engine else None
        if engine and isinstance(delivery, Bare):
            questions = {question for question in delivery.questions if question is not None}
            known = await hub.models.find(questions)
            delivery = engine.route.complete(delivery, known, hub.crosswalks.current)
        if delivery is not None:
            payload = str(readable(delivery.payload, _SHOWN_BYTES).get("body", ""))
    except CrossplantError as error:
        problem, missing = error.message, error if isinstance(error, Unresolved) else None
    return Went(
        trail=each,
        to=engine.route.to if engine else "",
        took_s=took_s,
        payload=payload,
        problem=problem,
        changed=_changed(hub, event, engine.route) if engine else [],
        missing=missing,
    )


def _changed(hub: Hub, event: Event, route: Route) -> list[Changed]:
    """The codes that the route replaces, from the source's over ours to the target's."""
    crosswalk, inward = hub.crosswalks.current, route.inbound.get(event.source)
    meanings = _translated(event, event.data, inward, crosswalk, inward=True) if inward else {}
    data = event.data
    for path, _ in inward.domains(event.type) if inward else ():
        data = replace_at(data, path, lambda value, place: meanings.get(place, value))
    codes = _translated(event, data, route.outbound, crosswalk, inward=False) if route.outbound else {}
    before = {path: value for path, value in _flat(event.data, "") if path in meanings or path in codes}
    return [
        Changed(
            path=path.removeprefix("/").replace("/", "."),
            before=before[path] if path in meanings else "",
            meaning=meanings.get(path, before[path]),
            after=codes.get(path, ""),
        )
        for path in before
    ]
