"""A state machine over ``decide()`` and the breaker: any course of outages, bad documents and good ones.

The route here has one delivery at a time and no I/O; what it does with a decision is what the engine does.
A simulated clock stands for the time.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Literal

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from canonical.errors import PermanentError, Rejected, TransientError
from router.breaker import Breaker
from router.recoverability import (
    BUSY_MAX_S,
    DeadLetterIt,
    Decision,
    Discard,
    Failure,
    Park,
    PauseRoute,
    Policy,
    Retry,
    State,
    blames_sink,
    decide,
)

POLICY = Policy(first_s=0.5, max_s=60.0, give_up_after_s=900.0)
ASKED_S = 90.0
START = datetime(2026, 3, 29, 0, 30, tzinfo=UTC)
Sink = Literal["up", "away", "sick", "throttles"]
Nature = Literal["good", "poison", "refused", "silent"]


@dataclass(slots=True)
class Document:
    """``healthy_s`` and ``probed_s``: how long it failed while the route flowed, and for its own probes."""

    position: int
    nature: Nature
    attempts: int = 0
    first_failed_s: float | None = None
    due_s: float = 0.0
    lookup: bool = False
    probed_s: float = 0.0
    sent_at_s: list[float] = field(default_factory=list)


class Route(RuleBasedStateMachine):
    """One route, its sink, and the documents that it has."""

    @initialize()
    def begin(self) -> None:
        self.now_s = 0.0
        self.breaker = Breaker(1, lambda: self.now_s)
        self.sink: Sink = "up"
        self.fresh: list[Document] = []
        self.lanes: list[Document] = []
        self.delivered: list[int] = []
        self.buried: list[int] = []
        self.number = 0
        self.not_before_s = 0.0

    # ── what happens to it ───────────────────────────────────────────────────────────────────────

    @rule(natures=st.lists(st.sampled_from(["good", "good", "poison", "refused", "silent"]), max_size=6))
    def documents_come(self, natures: list[Nature]) -> None:
        for nature in natures:
            self.fresh.append(Document(self.number, nature))
            self.number += 1

    @rule(sink=st.sampled_from(["up", "away", "sick", "throttles"]))
    def the_sink_changes(self, sink: Sink) -> None:
        self.sink = sink

    @rule(seconds=st.floats(0.01, 400.0), spread=st.floats(0, 1, exclude_max=True))
    def time_passes(self, seconds: float, spread: float) -> None:
        until_s = self.now_s + seconds
        while True:
            self.work(spread)
            next_s = self.next_s()
            if next_s is None or next_s > until_s:
                break
            self.now_s = max(next_s, self.now_s)
        self.now_s = until_s

    @precondition(lambda self: self.number > 0)
    @rule(spread=st.floats(0, 1, exclude_max=True))
    def the_sink_is_back_for_good(self, spread: float) -> None:
        """Everything good arrives, everything bad is a dead letter, in bounded time, and the route flows."""
        self.sink = "up"
        bad = [each for each in [*self.fresh, *self.lanes] if each.nature == "poison"]
        good = [each.position for each in [*self.fresh, *self.lanes] if each.nature in {"good", "silent"}]
        probes_s = max(POLICY.max_s, ASKED_S)
        bound_s = (len(bad) + 1) * (POLICY.give_up_after_s + probes_s) + len(good) * probes_s
        self.time_passes(bound_s, spread)
        assert set(good) <= set(self.delivered)
        assert not self.fresh
        assert not self.lanes
        assert self.breaker.state == "flowing"

    # ── what it does ─────────────────────────────────────────────────────────────────────────────

    def work(self, spread: float) -> None:
        """Sends whatever may be sent now."""
        while self.breaker.allowed > 0 and (document := self.take()) is not None:
            self.send(document, spread)

    def take(self) -> Document | None:
        if self.fresh:
            return self.fresh.pop(0)
        due = [each for each in self.lanes if each.due_s <= self.now_s]
        if not due:
            return None
        head = min(due, key=lambda each: each.due_s)
        self.lanes.remove(head)
        if head.first_failed_s is not None:
            head.first_failed_s -= self.breaker.waited_s
            head.probed_s += self.breaker.waited_s
        return head

    def next_s(self) -> float | None:
        """When there is something to do again."""
        if self.breaker.state == "paused":
            return self.now_s + (self.breaker.probe_in_s or 0.0)
        if self.fresh:
            return self.now_s
        return min((each.due_s for each in self.lanes), default=None)

    def send(self, document: Document, spread: float) -> None:
        assert self.now_s >= self.not_before_s, "sent during a pause"
        document.sent_at_s.append(self.now_s)
        failure = self.answer(document)
        if failure is None:
            self.breaker.alive()
            self.delivered.append(document.position)
            return
        error = failure.error
        if document.first_failed_s is None:
            document.first_failed_s = self.breaker.open_s
        failing_s = self.breaker.open_s - document.first_failed_s
        decision = decide(
            POLICY,
            failure,
            State(
                attempts=document.attempts + 1,
                failing_s=failing_s,
                suspects=self.breaker.suspect(document.position) if blames_sink(error) else 0,
                pauses=self.breaker.pauses,
                spread=spread,
                now=START + timedelta(seconds=self.now_s),
            ),
        )
        if not blames_sink(error):
            self.breaker.alive()
        elif not isinstance(decision, PauseRoute):
            self.breaker.absolve(None if isinstance(decision, Retry) else document.position)
        self.judge(document, failure, decision, failing_s)
        self.apply(document, failure, decision)

    def answer(self, document: Document) -> Failure | None:
        match self.sink:
            case "away":
                return Failure(TransientError("refused", outage=True))
            case "sick":
                return Failure(TransientError("HTTP 500"), ambiguous=True)
            case "throttles":
                return Failure(TransientError("HTTP 429", busy=True, retry_after_s=ASKED_S))
            case "up":
                pass
        match document.nature:
            case "poison":
                return Failure(TransientError("HTTP 500"))
            case "refused":
                return Failure(Rejected("HTTP 422"))
            case "silent" if not document.lookup:
                return Failure(TransientError("no answer"), ambiguous=True)
        return None

    def judge(self, document: Document, failure: Failure, decision: Decision, failing_s: float) -> None:
        """What must hold for every single decision."""
        error = failure.error
        asked_s = error.retry_after_s if isinstance(error, TransientError) else None
        assert not isinstance(decision, Park | Discard)
        if isinstance(error, TransientError) and error.outage:
            assert isinstance(decision, PauseRoute)
        if isinstance(decision, DeadLetterIt) and not isinstance(error, PermanentError):
            assert failing_s >= POLICY.give_up_after_s
            wall_s = self.now_s - document.sent_at_s[0]
            assert failing_s <= wall_s + 1e-6, "it aged faster than time passes"
        if isinstance(decision, Retry | PauseRoute):
            longest_s = max(POLICY.max_s, BUSY_MAX_S) if asked_s is None else asked_s
            assert 0 <= decision.after_s <= longest_s
            if asked_s is not None:
                assert decision.after_s == asked_s
        if isinstance(decision, Retry):
            assert decision.lookup == failure.ambiguous

    def apply(self, document: Document, failure: Failure, decision: Decision) -> None:
        error = failure.error
        match decision:
            case PauseRoute(after_s):
                self.breaker.pause(after_s, error.message)
                self.not_before_s = self.now_s + (self.breaker.probe_in_s or 0.0)
                document.lookup = document.lookup or failure.ambiguous
                if isinstance(error, TransientError) and error.outage:
                    self.fresh.insert(0, document)
                    return
                document.due_s = self.now_s + after_s
                self.lanes.append(document)
            case Retry(after_s, lookup):
                document.attempts += 1
                document.lookup = document.lookup or lookup
                document.due_s = self.now_s + after_s
                self.lanes.append(document)
            case _:
                self.buried.append(document.position)

    # ── what holds at any time ───────────────────────────────────────────────────────────────────

    @invariant()
    def nothing_is_lost_or_twice(self) -> None:
        if not hasattr(self, "fresh"):
            return
        waiting = [each.position for each in [*self.fresh, *self.lanes]]
        assert sorted([*waiting, *self.delivered, *self.buried]) == list(range(self.number))

    @invariant()
    def a_pause_always_ends(self) -> None:
        if not hasattr(self, "fresh"):
            return
        if self.breaker.state == "paused":
            assert (self.breaker.probe_in_s or 0.0) <= max(POLICY.max_s, ASKED_S)
        elif self.breaker.state == "probing":
            assert self.fresh or self.lanes, "it waits for a probe that nobody can make"


TestRoute = Route.TestCase
TestRoute.settings = settings(max_examples=150, stateful_step_count=30, deadline=None)
