"""What to do about a failure: retry, pause the route, park, dead-letter or discard. Pure.

An outage is not poison: a sink that cannot be reached pauses its route, whose backlog waits in the
journal; only what is wrong with a message itself ends as a dead letter, and an unknown code parks.

A 500 or a time-out may be either. Once several different events fail so, the sink is blamed and the route
pauses. While there is nothing else to send, the suspects themselves are probed in turn, and each ages by
the pause before its own probe: three bad documents cannot keep a route paused for ever, while an outage
that made suspects of many ages none of them noticeably.
"""

from __future__ import annotations

from datetime import datetime
from typing import assert_never

from msgspec import Struct
from tenacity import RetryCallState, wait_exponential
from tenacity.wait import wait_base

from canonical.errors import (
    CrossplantError,
    PermanentError,
    Stage,
    TransientError,
    Unauthorized,
    Unresolved,
)

__all__ = [
    "DeadLetterIt",
    "Decision",
    "Discard",
    "Failure",
    "Park",
    "PauseRoute",
    "Policy",
    "Retry",
    "State",
    "blames_sink",
    "decide",
]

SUSPECT_EVENTS = 3
"""So many different events failing, without a success between them, mean that it is the sink."""
BUSY_FIRST_S, BUSY_MAX_S = 5.0, 60.0
"""A document that somebody holds is asked for at its own pace."""
LONGEST_ASKED_S = 86400.0
"""A peer that asks for longer is asked again after so long all the same."""


class Policy(Struct, frozen=True, kw_only=True):
    """A route's ``retry:``, in seconds. ``first`` doubles up to ``max``; ``give_up_after`` ends it."""

    first_s: float = 0.5
    max_s: float = 300.0
    give_up_after_s: float = 86400.0


class Failure(Struct, frozen=True):
    """What went wrong. ``ambiguous``: it was sent and no answer came."""

    error: CrossplantError
    ambiguous: bool = False


class State(Struct, frozen=True, kw_only=True):
    """What is known when deciding.

    ``attempts`` of this delivery including the failed one, and ``failing_s`` since its first
    failure, both counted only while the route was not paused, or waited for a probe with this one
    since there was no other. ``suspects``: different events that
    failed since the last success, this one included. ``pauses``: how often the route paused since
    the last success. ``spread``: 0–1, chosen at random by the caller. ``expires_at``: the event's.
    """

    attempts: int
    failing_s: float
    suspects: int
    pauses: int
    spread: float
    now: datetime
    expires_at: datetime | None = None


class Retry(Struct, frozen=True):
    """Try this delivery again after so many seconds; ask the sink first when it may have it."""

    after_s: float
    lookup: bool = False


class PauseRoute(Struct, frozen=True):
    """Stop delivering on this route; probe after so many seconds. The delivery keeps its place."""

    after_s: float


class Park(Struct, frozen=True):
    """Wait in the lane until somebody supplies what is missing."""


class DeadLetterIt(Struct, frozen=True):
    """Nobody but a person can mend it. ``why`` is for that person."""

    why: str


class Discard(Struct, frozen=True):
    """Of no use any more; recorded and left."""

    why: str


Decision = Retry | PauseRoute | Park | DeadLetterIt | Discard


def decide(policy: Policy, failure: Failure, state: State) -> Decision:
    """The decision for one failed delivery. The same arguments give the same answer."""
    error = failure.error
    if state.expires_at is not None and state.expires_at <= state.now:
        return Discard(f"it expired at {state.expires_at.isoformat()} and was not delivered: {error.message}")
    match error:
        case Unresolved():
            return Park()
        case TransientError() if error.outage:
            return PauseRoute(
                _after(error, _wait(policy.first_s, policy.max_s, state.pauses + 1, state.spread))
            )
        case TransientError() | Unauthorized():
            return _retry_or_pause(policy, failure, state)
        case PermanentError():
            return DeadLetterIt(error.message)
        case CrossplantError():
            return _retry_or_pause(policy, failure, state)
        case _ as never:
            assert_never(never)


def _retry_or_pause(policy: Policy, failure: Failure, state: State) -> Decision:
    """For what may be the message or the sink: count different events before blaming the sink."""
    error = failure.error
    busy = isinstance(error, TransientError) and error.busy
    if state.failing_s >= policy.give_up_after_s:
        return DeadLetterIt(
            f"gave up after {state.attempts} attempts in {state.failing_s:.0f} s: {error.message}"
        )
    if state.suspects >= SUSPECT_EVENTS and (not busy or _throttled(error)):
        return PauseRoute(_after(error, _wait(policy.first_s, policy.max_s, state.pauses + 1, state.spread)))
    first_s, max_s = (BUSY_FIRST_S, BUSY_MAX_S) if busy else (policy.first_s, policy.max_s)
    wait_s = _wait(min(first_s, max_s), max_s, state.attempts, state.spread)
    left_s = max(policy.give_up_after_s - state.failing_s, 0.0)
    return Retry(_after(error, min(wait_s, max(left_s, policy.first_s))), lookup=failure.ambiguous)


def blames_sink(error: CrossplantError) -> bool:
    """Whether the sink as a whole may be why, so that its event is a suspect."""
    if error.stage is not Stage.SENDING:
        return False
    if isinstance(error, TransientError):
        return not error.busy or _throttled(error)
    return isinstance(error, Unauthorized)


def _throttled(error: CrossplantError) -> bool:
    """Whether the peer asks for time (429 with Retry-After): said to several, it is meant for all."""
    return isinstance(error, TransientError) and error.busy and error.retry_after_s is not None


def _after(error: CrossplantError, wait_s: float) -> float:
    """What the peer asked for counts more than what we would have waited."""
    asked = error.retry_after_s if isinstance(error, TransientError) else None
    return wait_s if asked is None else min(max(asked, 0.0), max(LONGEST_ASKED_S, wait_s))


def _wait(first_s: float, max_s: float, attempt: int, spread: float) -> float:
    """Exponential, with equal jitter: between half of it and all of it."""
    strategy: wait_base = wait_exponential(multiplier=first_s, max=max_s)
    call = RetryCallState(None, None, (), {})  # type: ignore[arg-type]  # waits read the number only
    call.attempt_number = min(attempt, 64)
    return float(strategy(call)) * (0.5 + spread / 2)
