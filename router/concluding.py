"""What becomes of an event that was not delivered: it is tried again, pauses its route, or goes aside."""

from __future__ import annotations

import random
from collections.abc import Callable
from datetime import datetime

from canonical.errors import CrossplantError, Stage, TransientError
from canonical.spec import Log
from router.breaker import Breaker
from router.lanekeeper import LaneKeeper
from router.recoverability import (
    DeadLetterIt,
    Decision,
    Discard,
    Failure,
    Park,
    PauseRoute,
    Retry,
    State,
    blames_sink,
    decide,
)
from router.routes import Route
from router.status import Observer
from router.turns import Turns
from router.work import Work

__all__ = ["Concluding"]


class Concluding:
    """Carries out, for one route, what ``decide`` decides."""

    def __init__(
        self,
        route: Route,
        *,
        breaker: Breaker,
        keeper: LaneKeeper,
        turns: Turns,
        observer: Observer,
        clock: Callable[[], datetime],
        log: Log,
    ) -> None:
        self._route, self._breaker, self._keeper, self._turns = route, breaker, keeper, turns
        self._observer, self._clock, self._log = observer, clock, log

    def alive(self, answers: int) -> None:
        """The sink has answered so many times: a pause ends."""
        if self._breaker.alive(answers):
            self._log.info("route_resumed", route=self._route.name)
            if answers > 1:
                self._breaker.alive(answers - 1)

    def failed(self, work: Work, failure: Failure) -> None:
        """Decides about it, and does so."""
        decision = self._decide(work, failure)
        if isinstance(decision, PauseRoute):
            self._pause(work, failure, decision.after_s)
            return
        self._aside(work, decision, failure.error)
        self._observer.ended(self._route.name, work.event, type(decision).__name__)

    def _decide(self, work: Work, failure: Failure) -> Decision:
        """What to do about it; tells the breaker whether the sink is to blame, or has proved to be alive."""
        error = failure.error
        if work.first_failed_s is None:
            work.first_failed_s = self._breaker.open_s
        decision = decide(
            self._route.policy,
            failure,
            State(
                attempts=work.attempts + 1,
                failing_s=self._breaker.open_s - work.first_failed_s,
                suspects=self._breaker.suspect(work.position) if blames_sink(error) else 0,
                pauses=self._breaker.pauses,
                spread=random.random(),  # noqa: S311 - jitter
                now=self._clock(),
                expires_at=work.event.expirytime,
            ),
        )
        if self._resumes(decision, error, work.position):
            self._log.info("route_resumed", route=self._route.name)
        return decision

    def _resumes(self, decision: Decision, error: CrossplantError, position: int) -> bool:
        """Whether a pause ends: the sink has answered, or too few fail to go on blaming it."""
        if not blames_sink(error):
            return error.stage is Stage.SENDING and self._breaker.alive()
        if isinstance(decision, PauseRoute):
            return False
        return self._breaker.absolve(None if isinstance(decision, Retry) else position)

    def _pause(self, work: Work, failure: Failure, after_s: float) -> None:
        """An outage keeps the delivery at its place. Where the message may be to blame it makes way, so
        that the probe is made with another one; its attempts are not counted."""
        if self._breaker.pause(after_s, failure.error.message):
            self._log.warning(
                "route_paused",
                route=self._route.name,
                reason=failure.error.message,
                probe_in_s=round(after_s, 1),
            )
        work.lookup = work.lookup or failure.ambiguous
        if isinstance(failure.error, TransientError) and failure.error.outage:
            self._turns.back(work)
        else:
            work.attempts -= 0 if work.alone else 1
            self._aside(work, Retry(after_s), failure.error)

    def _aside(
        self, work: Work, decision: Retry | Park | DeadLetterIt | Discard, error: CrossplantError
    ) -> None:
        """Into its lane, with what waits for its key; or away."""
        work.attempts += 1
        work.error = error
        behind = self._turns.leave(work.key)
        match decision:
            case Retry(after_s, lookup):
                work.lookup = work.lookup or lookup
                self._keeper.retry(work, after_s)
            case Park():
                self._keeper.park(work)
            case DeadLetterIt(why):
                self._keeper.bury(work, why)
            case Discard(why):
                self._keeper.discard(work, why)
        if behind and not self._keeper.blocks(work.key):  # discarded: nothing holds the others back
            self._turns.put_first(behind)
        else:
            for follower in behind:
                self._keeper.behind(follower)
