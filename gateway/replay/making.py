"""What a route makes of an event, as fields that can be held against another's. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from msgspec import Struct, structs

from canonical.errors import CrossplantError
from canonical.event import Event
from canonical.ports import Formatter
from gateway.replay.differences import Difference, differing
from router.aggregating import Collected
from router.crosswalk import Crosswalk
from router.enrichment import Bare, Known, Question
from router.numbering import Unnumbered
from router.routes import Route
from router.splitting import Parts

__all__ = ["Ask", "Broken", "Made", "Maker", "compared"]

Ask = Callable[[Iterable[Question]], Mapping[Question, Known | None]]
"""``ReadModels.find`` for a thread of its own."""

_REFERENCE: Final = "1"
_PREPARED: Final = datetime(2000, 1, 1, tzinfo=UTC)
"""The same on both sides: what an interchange is numbered by, and when, is no difference."""


class Made(Struct, frozen=True, kw_only=True):
    """A delivery: the payload's fields, what the route tells its sink, and the bytes."""

    payload: Any
    target: Mapping[str, Any]
    written: bytes


class Broken(Struct, frozen=True, kw_only=True):
    """No delivery, because the mapping fails."""

    code: str
    error: str


class Maker:
    """One compiled route, its payloads kept as they are before they are written. ``ask``: the read models,
    as they are now; it may wait."""

    def __init__(self, route: Route, ask: Ask) -> None:
        self._ask = ask
        self._seen = _Seen(route.formatter)
        self.route = structs.replace(route, formatter=self._seen)

    def make(self, event: Event, crosswalk: Crosswalk) -> Made | Broken | None:
        """None where the route does not take the event, or its condition leaves it out."""
        if not self.route.takes(event):
            return None
        self._seen.payloads = []
        try:
            delivery = self.route.deliver(event, crosswalk)
            if isinstance(delivery, Bare):
                questions = {question for question in delivery.questions if question is not None}
                delivery = self.route.complete(delivery, self._ask(questions), crosswalk)
        except CrossplantError as error:
            return Broken(code=error.code, error=error.message)
        if delivery is None or isinstance(delivery, Collected):
            return None
        if isinstance(delivery, Parts):
            targets = [part.target for part in delivery.parts]
            return Made(payload=self._seen.payloads, target={"parts": targets}, written=delivery.payload)
        return Made(payload=self._seen.payloads[-1], target=delivery.target, written=delivery.payload)


class _Seen:
    """A formatter that remembers what it was given."""

    def __init__(self, formatter: Formatter) -> None:
        self._formatter, self.content_type = formatter, formatter.content_type
        self.payloads: list[Any] = []

    def format(self, payload: Any) -> bytes:
        self.payloads.append(payload)
        if isinstance(self._formatter, Unnumbered):
            return self._formatter.formatter.interchange(payload, _REFERENCE, _PREPARED)
        return self._formatter.format(payload)


def compared(before: Made, after: Made) -> Sequence[Difference]:
    """Where two deliveries of one event differ; ``to.…`` is what the route tells its sink."""
    if before.written == after.written and before.target == after.target:
        return ()
    found = list(differing(before.payload, after.payload))
    found += differing(dict(before.target), dict(after.target), "to")
    if not found and before.written != after.written:
        one, other = (side.written.decode("utf-8", "replace") for side in (before, after))
        found = [Difference(path="(as written)", before=one, after=other)]
    return found
