"""What a route makes of a run of events, in one loop: the deliveries of those that go well.

``Route.deliver`` says what is right. Here the same is made of closures that were prepared once; an event of
which they are not sure (codes to translate, an expression that only CEL can evaluate, a value at an edge)
goes the long way, and no other event pays for it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from msgspec import Struct

from canonical.errors import PermanentError
from canonical.event import Event
from canonical.expression import Template
from canonical.ports import Delivery, Recorded
from canonical.shortcut import UNKNOWN
from router.crosswalk import Crosswalk
from router.failpoint import armed, failpoint
from router.idempotency import Keys
from router.routes import Route

__all__ = ["Made", "Maker"]

_BEFORE_MAP = "engine.before_map"


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
        self._fields = route.fields.quick if route.fields is not None else None
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
