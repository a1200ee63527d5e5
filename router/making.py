"""What a route makes of a run of events, in one loop: the deliveries of those that go well.

``Route.deliver`` says what is right. Here the same is made of closures that were prepared once; an event of
which they are not sure (codes to translate, an expression that only CEL can evaluate, a value at an edge)
goes the long way, and no other event pays for it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import compress
from operator import attrgetter
from typing import Any

from msgspec import Struct

from canonical.columns import hold
from canonical.errors import Invalid, PermanentError
from canonical.event import Event
from canonical.expression import Template
from canonical.ports import BulkFormatter, Delivery, Recorded
from canonical.shortcut import UNKNOWN
from router.crosswalk import Crosswalk
from router.failpoint import armed, failpoint
from router.idempotency import Keys
from router.routes import Route

__all__ = ["Made", "Maker"]

_BEFORE_MAP = "engine.before_map"
_MANY = 4
"""Events that are worth looking at as columns."""
_EVENT, _DATA, _EXTENSIONS = attrgetter("event"), attrgetter("data"), attrgetter("extensions")
_SOURCE, _TYPE, _ID, _KEY = map(attrgetter, ("source", "type", "id", "partitionkey"))


class Made(Struct):
    """Of a run: what is to be sent, of which events, and where it stopped.

    ``looked`` events were looked at; those that are not in ``recorded`` are excluded by the condition, but
    for the last of them when ``error`` says why nothing could be made of it.
    """

    deliveries: list[Delivery]
    recorded: list[Recorded]
    looked: int
    error: PermanentError | None = None


class Maker:
    """Makes the deliveries of one route."""

    def __init__(self, route: Route) -> None:
        self._route = route
        self._keys = Keys(route.name)
        self._ordered = {name: route.keeps_order(name) for name in route.types}
        self._when = route.when.shortcut if route.when is not None else None
        self._equality = route.when.equality if route.when is not None else None
        self._fields = route.fields.quick if route.fields is not None else None
        self._rows = route.fields.rows if route.fields is not None else None
        self._bulk = route.formatter if isinstance(route.formatter, BulkFormatter) else None
        self._target = dict(route.target) if _constant(route.target) else None
        self._surely_long = (
            (route.when is not None and self._when is None)
            or (route.fields is not None and self._fields is None)
            or route.function is not None
            or route.split is not None
            or route.aggregate is not None
            or bool(route.enrich)
            or route.outbound is not None
            or route.whole
            or self._target is None
        )

    def make(self, recorded: Sequence[Recorded], crosswalk: Crosswalk) -> Made:
        """Deliveries in order, up to the first event of which none can be made."""
        deliveries: list[Delivery] = []
        kept: list[Recorded] = []
        try_quickly, watched = not self._surely_long, armed(_BEFORE_MAP)
        if try_quickly and not watched and (all_made := self._in_columns(recorded)) is not None:
            return all_made
        for looked, item in enumerate(recorded, start=1):
            if watched:
                failpoint(_BEFORE_MAP)
            try:
                made: Delivery | Any | None = self._quickly(item.event) if try_quickly else UNKNOWN
                if made is UNKNOWN:
                    made = self._route.deliver(item.event, crosswalk)
            except PermanentError as error:
                return Made(deliveries, kept, looked, error)
            if made is not None:
                deliveries.append(made)
                kept.append(item)
        return Made(deliveries, kept, len(recorded))

    def _in_columns(self, recorded: Sequence[Recorded]) -> Made | None:
        """The same for alike events, whose fields are columns; None when one of them may need more."""
        bulk, simple = self._bulk, self._rows is not None or self._fields is None
        if bulk is None or not simple or len(recorded) < _MANY:
            return None
        events = list(map(_EVENT, recorded))
        sources, types = set(map(_SOURCE, events)), set(map(_TYPE, events))
        if len(sources) > 1 or len(types) > 1 or any(map(_EXTENSIONS, events)):
            return None
        [source], [kind] = sources, types
        if source in self._route.inbound:
            return None
        looked, kept = len(recorded), list(recorded)
        if self._when is not None:
            held = self._held(events)
            if set(map(type, held)) != {bool}:
                return None
            kept, events = list(compress(recorded, held)), list(compress(events, held))
        payloads = self._rows(events) if self._rows is not None else list(map(_DATA, events))
        if payloads is None:
            return None
        try:
            bodies = bulk.format_all(payloads)
        except Invalid:  # whose it is, the usual way finds
            return None
        return Made(self._deliveries(events, bodies, source, kind), kept, looked)

    def _held(self, events: Sequence[Event]) -> Sequence[Any]:
        """What the condition says of each: true, false, or UNKNOWN."""
        if self._equality is not None and (held := hold(self._equality, events)) is not None:
            return held
        assert self._when is not None
        return [self._when({"event": event, "data": event.data}) for event in events]

    def _deliveries(
        self, events: Sequence[Event], bodies: Sequence[bytes], source: str, kind: str
    ) -> list[Delivery]:
        ids = list(map(_ID, events))
        keys: list[str] = list(map(_KEY, events)) if self._ordered.get(kind) else [""] * len(ids)
        if not all(keys):
            keys = [key or f"{source}#{each}" for key, each in zip(keys, ids, strict=True)]
        content_type, target = self._route.formatter.content_type, self._target
        return [
            Delivery(
                event=event,
                payload=body,
                content_type=content_type,
                key=key,
                idempotency_key=idempotency_key,
                target=target,  # type: ignore[arg-type]  # not None: else nothing is quick
            )
            for event, body, key, idempotency_key in zip(
                events, bodies, keys, self._keys.of_all(source, ids), strict=True
            )
        ]

    def _quickly(self, event: Event) -> Any:
        """What ``Route.deliver`` gives, or UNKNOWN. Raises PermanentError."""
        route, data = self._route, event.data
        if event.extensions or event.source in route.inbound:
            return UNKNOWN
        payload = data
        if self._when is not None or self._fields is not None:
            values = {"event": event, "data": data}
            if self._when is not None:
                holds = self._when(values)
                if holds is not True:
                    return None if holds is False else UNKNOWN
            if self._fields is not None:
                payload = self._fields(values)
                if payload is UNKNOWN:
                    return UNKNOWN
        own = f"{event.source}#{event.id}"
        return Delivery(
            event=event,
            payload=route.formatter.format(payload),
            content_type=route.formatter.content_type,
            key=event.partitionkey or own if self._ordered.get(event.type) else own,
            idempotency_key=self._keys.of(event),
            target=self._target,  # type: ignore[arg-type]  # not None: else nothing is quick
        )


def _constant(value: Any) -> bool:
    """Whether a target is the same for all events, so that they can share it."""
    if isinstance(value, Mapping):
        return all(map(_constant, value.values()))
    return not isinstance(value, Template)
