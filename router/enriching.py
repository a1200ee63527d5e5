"""The sink of a route that enriches: asks the read models, makes the deliveries, hands them on.

All records of a call are read at once. What is missing, or cannot be mapped, is that delivery's outcome, so
that it is retried, parked or buried like any other, in order per key, and read anew with each attempt. When
the read models cannot be asked, nothing is sent, and the route waits for them. What only waits is not counted
by the target's limit, which so is left to what can be sent.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import cast

from canonical.errors import CrossplantError, TransientError
from canonical.ports import Accepted, Delivery, Failed, Lookup, NotTried, Sink, SinkOutcome, Unknown
from router.crosswalk import Crosswalk
from router.enrichment import Bare, Known, NotKnown, Question, ReadModels
from router.ratelimit import Share, Turn
from router.routes import Route

__all__ = ["EnrichSink"]

_ROUNDS_S = 20.0
"""After so long at a limit a call sends no more, and the rest comes with the next one."""
_PATIENCE_S = 30.0
_SILENT = Unknown(TransientError("the sink did not say what became of it", code="no_outcome"))


class EnrichSink:
    """A sink over another for one route, outside of all its others. ``share``: its part in a limit."""

    def __init__(
        self,
        sink: Sink,
        route: Route,
        models: ReadModels,
        crosswalk: Callable[[], Crosswalk],
        share: Share | None = None,
        waits: Callable[[Question, str], None] = lambda _question, _key: None,
    ) -> None:
        """``waits`` is told for which record the lane of a key waits."""
        self._waits = waits
        self._sink, self._route, self._models, self._crosswalk = sink, route, models, crosswalk
        self._turn = Turn(share, _PATIENCE_S)

    async def open(self) -> None:
        """Nothing: who built the sink opens it."""

    async def close(self) -> None:
        """Nothing: who built the sink closes it."""

    async def send(self, deliveries: Sequence[Delivery]) -> Sequence[SinkOutcome]:
        """Sends those that could be made; behind one that could not none of its key is tried."""
        bare = [each for each in deliveries if isinstance(each, Bare)]
        try:
            known = await self._asked(bare)
        except CrossplantError as error:
            return [_away(error), *([NotTried()] * (len(deliveries) - 1))]
        outcomes: dict[int, SinkOutcome] = {}
        ready: list[tuple[int, Delivery]] = []
        held: set[str] = set()
        for at, each in enumerate(deliveries):
            made = NotTried() if each.key in held else self._made(each, known)
            if isinstance(made, Delivery):
                ready.append((at, made))
            else:
                outcomes[at] = made
                held.add(each.key)
        await self._send(ready, outcomes)
        return [outcomes.get(at, NotTried()) for at in range(len(deliveries))]

    async def _send(self, ready: Sequence[tuple[int, Delivery]], outcomes: dict[int, SinkOutcome]) -> None:
        """As many at once as the limit allows, up to the first that does not arrive."""
        until = asyncio.get_running_loop().time() + _ROUNDS_S
        while ready and (room := await self._turn.take(len(ready))):
            now, ready = ready[:room], ready[room:]
            sent = await self._sink.send([made for _, made in now])
            for number, (at, _) in enumerate(now):
                outcomes[at] = sent[number] if number < len(sent) else _SILENT
            stopped = any(not isinstance(outcomes[at], Accepted) for at, _ in now)
            if stopped or asyncio.get_running_loop().time() > until:
                return

    async def lookup(self, delivery: Delivery) -> Accepted | Failed | None:
        """Asks the sink for what would be sent now; Failed when that cannot be made."""
        try:
            known = await self._asked([delivery] if isinstance(delivery, Bare) else [])
        except CrossplantError as error:
            return _away(error)
        made = self._made(delivery, known)
        return made if isinstance(made, Failed) else await cast(Lookup, self._sink).lookup(made)

    async def _asked(self, bare: Sequence[Bare]) -> Mapping[Question, Known | None]:
        questions = {question for each in bare for question in each.questions if question is not None}
        return await self._models.find(questions) if questions else {}

    def _made(self, each: Delivery, known: Mapping[Question, Known | None]) -> Delivery | Failed:
        """What is sent of it. One that is made already, a shadow's failure, stays as it is."""
        if not isinstance(each, Bare):
            return each
        try:
            return self._route.complete(each, known, self._crosswalk())
        except NotKnown as error:
            self._waits(error.question, each.key)
            return Failed(error)
        except CrossplantError as error:
            return Failed(error)


def _away(error: CrossplantError) -> Failed:
    """The route waits until the read models can be asked."""
    after_s = error.retry_after_s if isinstance(error, TransientError) else None
    text = f"the read models could not be asked: {error.message}"
    return Failed(TransientError(text, code="read_models", outage=True, retry_after_s=after_s))
