"""The circuit breaker: pauses, probes, a drain that begins gently, and ages that pauses do not count."""

from __future__ import annotations

from router.breaker import Breaker
from router.recoverability import SUSPECT_EVENTS


class Clock:
    """Seconds that a test moves."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


def paused(full: int = 8, after_s: float = 10.0) -> tuple[Breaker, Clock]:
    clock = Clock()
    breaker = Breaker(full, clock)
    assert breaker.pause(after_s, "refused")
    return breaker, clock


def test_a_paused_route_sends_nothing_and_probes_with_one() -> None:
    breaker, clock = paused()
    assert (breaker.state, breaker.allowed, breaker.probe_in_s) == ("paused", 0, 10.0)
    clock.now_s += 10.0
    assert (breaker.state, breaker.allowed, breaker.probe_in_s) == ("probing", 1, 0.0)


def test_what_is_under_way_doubles_with_each_round_trip_after_a_pause() -> None:
    breaker, clock = paused(full=100)
    clock.now_s += 10.0
    assert breaker.alive()
    rounds = []
    while breaker.allowed < 100:
        rounds.append(breaker.allowed)
        for _ in range(rounds[-1]):
            breaker.alive()
    assert rounds == [1, 2, 4, 8, 16, 32, 64]
    breaker.alive()
    assert breaker.allowed == 100


def test_answers_for_a_batch_count_as_many() -> None:
    breaker, clock = paused(full=100)
    clock.now_s += 10.0
    breaker.alive(50)
    assert breaker.allowed == 1
    breaker.alive(1)
    breaker.alive(2)
    assert breaker.allowed == 4


def test_failures_of_one_probe_are_one_pause() -> None:
    breaker, clock = paused()
    for _ in range(7):
        assert not breaker.pause(99.0, "refused")
    assert (breaker.pauses, breaker.probe_in_s) == (1, 10.0)
    clock.now_s += 10.0
    assert not breaker.pause(20.0, "refused")
    assert (breaker.pauses, breaker.probe_in_s) == (2, 20.0)


def test_time_in_pauses_is_not_counted() -> None:
    breaker, clock = paused()
    began = breaker.open_s
    clock.now_s += 500.0
    assert breaker.open_s == began
    assert breaker.alive()
    clock.now_s += 3.0
    assert breaker.open_s == began + 3.0


def test_the_pause_before_a_probe_is_known() -> None:
    breaker, clock = paused()
    clock.now_s += 11.0
    assert breaker.waited_s == 11.0
    breaker.pause(20.0, "refused")
    assert breaker.waited_s == 0.0
    clock.now_s += 20.0
    breaker.alive()
    assert breaker.waited_s == 0.0


def test_a_pause_ends_when_too_few_suspects_are_left() -> None:
    breaker, clock = paused()
    for position in range(SUSPECT_EVENTS):
        breaker.suspect(position)
    clock.now_s += 10.0
    assert not breaker.absolve(None)
    assert breaker.absolve(0)
    assert breaker.state == "flowing"


def test_nobody_is_absolved_while_it_pauses() -> None:
    breaker, _ = paused()
    breaker.suspect(1)
    assert not breaker.absolve(1)
    assert breaker.state == "paused"


def test_suspects_are_different_events_since_the_last_answer() -> None:
    breaker = Breaker(8, Clock())
    assert [breaker.suspect(position) for position in (1, 1, 2)] == [1, 1, 2]
    assert not breaker.alive()
    assert breaker.suspect(3) == 1
