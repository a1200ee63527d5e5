"""``decide()``: outage is not poison, and nothing is decided by chance."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from canonical.errors import (
    CrossplantError,
    Invalid,
    PermanentError,
    Rejected,
    Stage,
    TransientError,
    Unauthorized,
    Unresolved,
)
from router.recoverability import (
    LONGEST_ASKED_S,
    SUSPECT_EVENTS,
    DeadLetterIt,
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

NOW = datetime(2026, 3, 29, 1, 30, tzinfo=UTC)
UNKNOWN_CODE = Unresolved(domain="item", system="mes", value="X")


def state(**changes: object) -> State:
    settings: dict[str, object] = {
        "attempts": 1,
        "failing_s": 0.0,
        "suspects": 1,
        "pauses": 0,
        "spread": 0.5,
        "now": NOW,
    }
    return State(**{**settings, **changes})  # type: ignore[arg-type]


errors = st.one_of(
    st.builds(
        TransientError,
        st.just("later"),
        retry_after_s=st.none() | st.floats(0, 1000),
        outage=st.booleans(),
        busy=st.booleans(),
    ),
    st.builds(Rejected, st.just("no")),
    st.builds(Unauthorized, st.just("who")),
    st.builds(Invalid, st.just("what")),
    st.just(UNKNOWN_CODE),
    st.builds(CrossplantError, st.just("hm")),
)
states = st.builds(
    State,
    attempts=st.integers(1, 10**6),
    failing_s=st.floats(0, 10**7),
    suspects=st.integers(0, 10),
    pauses=st.integers(0, 10**4),
    spread=st.floats(0, 1, exclude_max=True),
    now=st.just(NOW),
)
policies = st.builds(
    Policy,
    first_s=st.floats(0.001, 10),
    max_s=st.floats(10, 1000),
    give_up_after_s=st.floats(1, 10**6),
)


@given(policies, st.builds(Failure, errors, st.booleans()), states)
def test_the_same_question_has_the_same_answer(policy: Policy, failure: Failure, known: State) -> None:
    assert decide(policy, failure, known) == decide(policy, failure, known)


@given(policies, errors, states)
def test_an_outage_never_becomes_a_dead_letter(policy: Policy, error: CrossplantError, known: State) -> None:
    if isinstance(error, TransientError) and error.outage:
        assert isinstance(decide(policy, Failure(error), known), PauseRoute)


@given(policies, st.builds(Failure, errors, st.booleans()), states)
def test_waits_are_never_negative_and_stay_below_the_longest(
    policy: Policy, failure: Failure, known: State
) -> None:
    decision = decide(policy, failure, known)
    if isinstance(decision, Retry | PauseRoute):
        asked = failure.error.retry_after_s if isinstance(failure.error, TransientError) else None
        assert 0 <= decision.after_s <= (asked if asked is not None else max(policy.max_s, 60.0))


@given(policies, errors, states)
def test_what_no_retry_can_mend_is_not_retried(policy: Policy, error: CrossplantError, known: State) -> None:
    decision = decide(policy, Failure(error), known)
    match error:
        case Unresolved():
            assert decision == Park()
        case Unauthorized():
            assert not isinstance(decision, Park | Discard)
        case PermanentError():
            assert decision == DeadLetterIt(error.message)
        case _:
            assert not isinstance(decision, Park)


@given(policies, states)
def test_what_the_peer_asks_for_is_heeded(policy: Policy, known: State) -> None:
    decision = decide(policy, Failure(TransientError("wait", outage=True, retry_after_s=77.0)), known)
    assert decision == PauseRoute(77.0)


def test_one_failing_document_is_retried_and_several_blame_the_sink() -> None:
    failure = Failure(TransientError("HTTP 500"))
    assert isinstance(decide(Policy(), failure, state(suspects=SUSPECT_EVENTS - 1)), Retry)
    assert isinstance(decide(Policy(), failure, state(suspects=SUSPECT_EVENTS)), PauseRoute)


def test_a_document_that_is_held_never_blames_the_sink() -> None:
    failure = Failure(TransientError("locked", busy=True))
    assert decide(Policy(), failure, state(suspects=99)) == Retry(after_s=3.75)


def test_a_sink_that_asks_several_for_time_pauses_its_route_and_one_document_does_not() -> None:
    failure = Failure(TransientError("HTTP 429", busy=True, retry_after_s=7.0))
    assert decide(Policy(), failure, state(suspects=SUSPECT_EVENTS)) == PauseRoute(7.0)
    assert decide(Policy(), failure, state(suspects=SUSPECT_EVENTS - 1)) == Retry(7.0)


def test_a_peer_that_asks_for_more_than_a_day_is_asked_again_after_one() -> None:
    failure = Failure(TransientError("HTTP 503", outage=True, retry_after_s=1e9))
    assert decide(Policy(), failure, state()) == PauseRoute(LONGEST_ASKED_S)


@given(policies, errors, states, st.floats(0, 10**6))
def test_who_is_given_up_stays_given_up_when_older(
    policy: Policy, error: CrossplantError, known: State, more_s: float
) -> None:
    if isinstance(decide(policy, Failure(error), known), DeadLetterIt):
        older = structs.replace(known, failing_s=known.failing_s + more_s)
        assert isinstance(decide(policy, Failure(error), older), DeadLetterIt)


@given(policies, errors, states)
def test_a_dead_letter_is_the_messages_own_fault_or_was_tried_for_long_enough(
    policy: Policy, error: CrossplantError, known: State
) -> None:
    if isinstance(decide(policy, Failure(error), known), DeadLetterIt):
        own_fault = isinstance(error, PermanentError) and not isinstance(error, Unauthorized)
        assert own_fault or known.failing_s >= policy.give_up_after_s


@pytest.mark.parametrize(
    ("error", "blamed"),
    [
        (TransientError("HTTP 500"), True),
        (TransientError("refused", outage=True), True),
        (TransientError("locked", busy=True), False),
        (TransientError("HTTP 429", busy=True, retry_after_s=1.0), True),
        (Unauthorized("who", stage=Stage.SENDING), True),
        (Rejected("no"), False),
        (TransientError("in a look-up", stage=Stage.PROCESSING), False),
    ],
)
def test_who_is_blamed(error: CrossplantError, blamed: bool) -> None:
    assert blames_sink(error) is blamed


def test_giving_up_is_bounded_by_time_not_by_attempts() -> None:
    failure, policy = Failure(TransientError("HTTP 500")), Policy(give_up_after_s=60.0)
    assert isinstance(decide(policy, failure, state(attempts=10**6, failing_s=59.0)), Retry)
    given_up = decide(policy, failure, state(attempts=7, failing_s=60.0))
    assert given_up == DeadLetterIt("gave up after 7 attempts in 60 s: HTTP 500")


def test_waits_double_and_spread_between_half_and_all() -> None:
    failure = Failure(TransientError("HTTP 500"))
    policy = Policy(first_s=1.0, max_s=8.0)
    waits = [decide(policy, failure, state(attempts=n, spread=1.0)) for n in range(1, 6)]
    assert waits == [Retry(1.0), Retry(2.0), Retry(4.0), Retry(8.0), Retry(8.0)]
    assert decide(policy, failure, state(attempts=3, spread=0.0)) == Retry(2.0)


def test_an_ambiguous_outcome_is_looked_up() -> None:
    assert decide(Policy(), Failure(TransientError("silence"), ambiguous=True), state()) == Retry(0.375, True)


def test_what_has_expired_is_discarded() -> None:
    expired = state(expires_at=NOW - timedelta(seconds=1))
    assert isinstance(decide(Policy(), Failure(TransientError("later")), expired), Discard)
