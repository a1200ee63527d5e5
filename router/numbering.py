"""The sink of a route that sends interchanges: each gets its control reference right before it goes out.

The route hands over payloads; here they become interchanges. In front of the real sink, so that no other
route pays for it, and a failure to number is one of the delivery like any other.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

from msgspec import json, structs

from canonical.errors import CrossplantError
from canonical.ports import (
    Accepted,
    Delivery,
    Failed,
    InterchangeFormatter,
    Lookup,
    NotTried,
    Sink,
    SinkOutcome,
)
from router.outgoing import Outgoing

__all__ = ["NumberedSink", "Unnumbered"]


class Unnumbered:
    """The formatter of such a route: the payload as JSON, which ``NumberedSink`` reads."""

    def __init__(self, formatter: InterchangeFormatter) -> None:
        self.content_type, self.formatter = formatter.content_type, formatter

    def format(self, payload: Any) -> bytes:
        """The payload for ``NumberedSink``."""
        return json.encode(payload)


class NumberedSink:
    """A sink over another; ``route`` is the one that it works for."""

    def __init__(self, sink: Sink, route: str, formatter: InterchangeFormatter, outgoing: Outgoing) -> None:
        self._sink, self._route, self._formatter, self._outgoing = sink, route, formatter, outgoing

    async def open(self) -> None:
        """Nothing: who built the sink opens it."""

    async def close(self) -> None:
        """Nothing: who built the sink closes it."""

    async def send(self, deliveries: Sequence[Delivery]) -> Sequence[SinkOutcome]:
        """Numbers and sends; behind one that has no form, or cannot be written down, none is tried."""
        written: list[Delivery] = []
        failed: list[SinkOutcome] = []
        for delivery in deliveries:
            try:
                written.append(await self._written(delivery))
            except CrossplantError as error:
                failed.append(Failed(error))
                break
        outcomes = list(await self._sink.send(written)) if written else []
        accepted = [
            one for one, outcome in zip(written, outcomes, strict=False) if isinstance(outcome, Accepted)
        ]
        if accepted:
            await self._outgoing.sent(accepted)
        if len(outcomes) < len(written):
            return outcomes  # what is missing counts as unknown
        untried = len(deliveries) - len(written) - len(failed)
        return [*outcomes, *failed, *([NotTried()] * untried)]

    async def lookup(self, delivery: Delivery) -> Accepted | Failed | None:
        """Asks the sink for the interchange as it was sent."""
        try:
            written = await self._written(delivery)
        except CrossplantError as error:
            return Failed(error)
        found = await cast(Lookup, self._sink).lookup(written)
        if isinstance(found, Accepted):
            await self._outgoing.sent([written])
        return found

    async def _written(self, delivery: Delivery) -> Delivery:
        payload = json.decode(delivery.payload)
        interchange = await self._outgoing.write(self._route, self._formatter, payload, delivery)
        return structs.replace(delivery, payload=interchange.body)
