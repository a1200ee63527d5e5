"""The suite itself: a right adapter passes every case, and each fault fails the case that is about it."""

from __future__ import annotations

import asyncio

import pytest

from adapters.conformance import sink, source
from canonical.spec import Guarantees
from tests.adapters.conformance.toy import ToySinkHarness, ToySourceHarness

SOURCE_CASES = {case.__name__: case for case in source.cases(ToySourceHarness.guarantees)}
SINK_CASES = {case.__name__: case for case in sink.cases()}

SOURCE_FAULTS = [
    ("one id for all", "messages_arrive_once_and_in_order"),
    ("twice", "messages_arrive_once_and_in_order"),
    ("wrong name", "messages_arrive_once_and_in_order"),
    ("no time of the last value", "health_tells_when_data_came"),
    ("open waits for the server", "absent_server_is_awaited"),
    ("open raises without a server", "absent_server_is_awaited"),
    ("says connected", "absent_server_is_awaited"),
    ("never reconnects", "cut_heals"),
    ("never reconnects", "server_restart_heals"),
    ("does not notice silence", "black_hole_heals"),
    ("receive goes on", "close_is_final"),
    ("close once", "close_is_final"),
    ("leaves a task", "close_is_final"),
    ("leaves a thread", "close_is_final"),
    ("leaves the connection open", "close_is_final"),
    ("swallows cancellation", "cancelling_leaves_nothing"),
    ("connects when made", "unopened_source_closes"),
    ("acknowledges early", "unacknowledged_comes_again"),
    ("never acknowledges", "acknowledged_does_not_come_again"),
    ("late acknowledgement raises", "cut_before_acknowledgement_comes_again"),
    ("other ids the next time", "ids_are_stable"),
    ("other ids the next time", "cut_before_acknowledgement_comes_again"),
    ("reads ahead", "reader_sets_the_pace"),
]
SINK_FAULTS = [
    ("forgets an outcome", "all_are_accepted_and_there"),
    ("accepts what is not there", "all_are_accepted_and_there"),
    ("reorders", "all_are_accepted_and_there"),
    ("sends twice", "all_are_accepted_and_there"),
    ("open needs the server", "absent_server_is_an_outage"),
    ("an outage like any other", "absent_server_is_an_outage"),
    ("raises", "absent_server_is_an_outage"),
    ("reconnects never", "server_that_appears_is_used"),
    ("no deadline", "black_hole_is_a_value_within_the_deadline"),
    ("blames the message", "black_hole_is_a_value_within_the_deadline"),
    ("accepts what is not there", "cut_never_accepts_what_is_not_there"),
    ("accepts what is not there", "server_restart_heals"),
    ("ignores refusals", "poison_harms_nobody_else"),
    ("a refusal is an outage", "poison_harms_nobody_else"),
    ("leaves a task", "close_is_final"),
    ("swallows cancellation", "cancelling_leaves_nothing"),
]


@pytest.mark.parametrize("name", SOURCE_CASES)
async def test_a_right_source_passes(name: str) -> None:
    harness = ToySourceHarness()
    try:
        await SOURCE_CASES[name](harness)
    finally:
        await harness.stop_server()


@pytest.mark.parametrize("name", SINK_CASES)
async def test_a_right_sink_passes(name: str) -> None:
    harness = ToySinkHarness()
    try:
        await SINK_CASES[name](harness)
    finally:
        await harness.stop_server()


@pytest.mark.parametrize(("fault", "name"), SOURCE_FAULTS)
async def test_a_source_with_a_fault_fails(fault: str, name: str) -> None:
    harness = ToySourceHarness(fault)
    harness.patience_s = 1.0
    with pytest.raises((AssertionError, OSError, RuntimeError, TimeoutError)):
        await SOURCE_CASES[name](harness)
    await _end(harness)


@pytest.mark.parametrize(("fault", "name"), SINK_FAULTS)
async def test_a_sink_with_a_fault_fails(fault: str, name: str) -> None:
    harness = ToySinkHarness(fault)
    harness.patience_s = 1.0
    with pytest.raises((AssertionError, OSError, RuntimeError, TimeoutError)):
        await SINK_CASES[name](harness)
    await _end(harness)


async def _end(harness: ToySourceHarness | ToySinkHarness) -> None:
    """Cleans up behind an adapter that did not."""
    await harness.stop_server()
    if left := asyncio.all_tasks() - {asyncio.current_task()}:
        _, stuck = await asyncio.wait(left, timeout=0.2)
        for task in stuck:
            task.cancel()
        await asyncio.gather(*stuck, return_exceptions=True)


def test_what_is_not_declared_is_not_asked_for() -> None:
    names = {case.__name__ for case in source.cases(Guarantees())}
    assert "messages_arrive_once_and_in_order" in names
    assert not names & {"unacknowledged_comes_again", "ids_are_stable", "reader_sets_the_pace"}
    polling = source.cases(Guarantees(redelivers=True), acknowledges_by_connection=False)
    assert "cut_before_acknowledgement_comes_again" not in {case.__name__ for case in polling}
