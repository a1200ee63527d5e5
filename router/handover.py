"""A sink as the engine sees it: whatever it does, there is an outcome for each delivery, in time."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import cast

from canonical.errors import CrossplantError, TransientError
from canonical.ports import Delivery, Failed, Lookup, Sink, SinkOutcome, Unknown
from canonical.spec import Log, SinkTraits
from router.work import Work

__all__ = ["Handover"]

SEND_DEADLINE_S = 120.0
"""A sink has time-outs of its own; this one is for a sink that forgets them."""


class Handover:
    """Asks a sink for what may have arrived, and sends the rest."""

    def __init__(
        self,
        route: str,
        sink: Sink,
        traits: SinkTraits,
        log: Log,
        *,
        doubtful_until: int = 0,
        doubtful: int = 0,
    ) -> None:
        """``doubtful_until``: the journal's head when the route started. So many of the events up to there
        may have been under way when the last run ended, and are asked for."""
        self._route, self._sink, self._traits, self._log = route, sink, traits, log
        self._doubtful_until, self._doubtful = doubtful_until, doubtful

    async def deliver(self, batch: Sequence[tuple[Work, Delivery]]) -> list[SinkOutcome]:
        """One outcome per delivery, in order."""
        known = {work.position: await self._ask(delivery) for work, delivery in batch if self._in_doubt(work)}
        to_send = [delivery for work, delivery in batch if known.get(work.position) is None]
        sent = iter(await self.send(to_send) if to_send else [])
        return [known.get(work.position) or next(sent) for work, _ in batch]

    def doubts(self, position: int) -> bool:
        """Whether the last run may have sent this event, and the sink can be asked."""
        return self._traits.lookup and self._doubtful > 0 and position <= self._doubtful_until

    def _in_doubt(self, work: Work) -> bool:
        """Whether an earlier attempt, of this run or of the last one, may have arrived."""
        if work.lookup:
            return True
        if work.position > self._doubtful_until:
            return False
        self._doubtful -= not work.from_lane
        return work.from_lane or self._doubtful >= 0

    async def _ask(self, delivery: Delivery) -> SinkOutcome | None:
        """Whether the sink has what an earlier attempt may have brought; None: it has not, or can't tell."""
        if not self._traits.lookup:
            return None
        try:
            async with asyncio.timeout(SEND_DEADLINE_S):
                found = await cast(Lookup, self._sink).lookup(delivery)
        except TimeoutError:
            return Unknown(TransientError("the look-up was not answered", code="lookup_timeout"))
        except Exception as error:  # noqa: BLE001 - a fault of the sink's own code must not end the route
            self._log.error("lookup_raised", route=self._route, error=repr(error))
            return Unknown(_of(error, "lookup_raised"))
        return Unknown(found.error) if isinstance(found, Failed) else found

    async def send(self, deliveries: Sequence[Delivery]) -> list[SinkOutcome]:
        """One outcome per delivery, in order."""
        try:
            async with asyncio.timeout(SEND_DEADLINE_S):
                outcomes = list(await self._sink.send(deliveries))
        except TimeoutError:
            outcomes = []
        except Exception as error:  # noqa: BLE001 - a fault of the sink's own code must not end the route
            self._log.error("sink_raised", route=self._route, error=repr(error))
            outcomes = [Unknown(_of(error, "sink_raised"))] * len(deliveries)
        missing = len(deliveries) - len(outcomes)
        if not missing:
            return outcomes
        silent = Unknown(TransientError("the sink did not say what became of it", code="no_outcome"))
        return outcomes[: len(deliveries)] + [silent] * missing


def _of(error: Exception, code: str) -> CrossplantError:
    return error if isinstance(error, CrossplantError) else TransientError(repr(error), code=code)
