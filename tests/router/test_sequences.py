"""Sources that number what they say: a number that does not come is told, and nothing waits for it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path

import apsw
import msgspec
from hypothesis import given
from hypothesis import strategies as st

from canonical import catalogue
from canonical.errors import Invalid
from canonical.event import Event
from canonical.ports import Outcome, RawMessage
from canonical.spec import Health
from router import sequences
from router.ingest import Ingest, Intake
from router.journal import Message
from router.journal.writer import Statements
from tests.router.rig import SOURCE, Rig, ScriptedSink, order, route, running, until

NOW = datetime(2026, 3, 1, 6, tzinfo=UTC)


class Numbering:
    """``7`` → an order whose sequence number it is; ``-`` → one without."""

    def decode(self, state: bytes | None, raw: RawMessage) -> tuple[bytes | None, Iterable[Event | Invalid]]:
        text = raw.body.decode()
        number = None if text == "-" else text
        made = msgspec.structs.replace(order(int(number or 0), "o1"), id=raw.id, sequence=number)
        return state, [msgspec.structs.replace(made, srcmsgid=None)]


class Silent:
    def ingested(self, adapter: str, messages: Sequence[Message], outcomes: Sequence[Outcome]) -> None: ...


def ingest_of(rig: Rig) -> Ingest:
    built = Ingest(rig.journal, Silent(), lambda: NOW, rig.log)
    built.add(Intake(name="mes", source=SOURCE, plant="aachen", decoder=Numbering(), health=Health()))
    return built


async def say(taken: Ingest, *bodies: str, prefix: str = "") -> None:
    raws = [
        RawMessage(adapter="mes", id=f"{prefix}{body}", body=body.encode(), received_at=NOW)
        for body in bodies
    ]
    await taken.submit("mes", raws)


async def notices(rig: Rig) -> list[Event]:
    found, _ = await rig.journal.events(0)
    return [item.event for item in found if item.event.source == "/hub/sequences"]


async def test_a_number_that_did_not_come_is_told_once_and_the_rest_flows(tmp_path: Path) -> None:
    async with running(tmp_path) as rig:
        taken, sink = ingest_of(rig), ScriptedSink()
        await rig.start(route(), sink)
        await say(taken, "0001", "0002", "0005", "0006")
        await say(taken, "0005", "0006")  # sent again
        [gap] = await notices(rig)
        assert gap.type == catalogue.full_name("telemetry.source.changed")
        assert gap.data["last_seq"] == 2
        assert gap.data["gap"]["reason"] == "sequence 3–4 did not come"
        assert (gap.subject, gap.plantid) == (SOURCE, "aachen")
        await until(lambda: sink.numbers == [1, 2, 5, 6])


async def test_what_comes_late_is_delivered_in_the_order_of_its_arrival_and_fills_its_gap(
    tmp_path: Path,
) -> None:
    async with running(tmp_path) as rig:
        taken, sink = ingest_of(rig), ScriptedSink()
        await rig.start(route(), sink)
        await say(taken, "1", "4")
        await say(taken, "2")
        await say(taken, "5", "3")
        await until(lambda: sink.numbers == [1, 4, 2, 5, 3])
        assert len(await notices(rig)) == 1
        rows = await rig.journal.read(
            lambda t: t.execute("SELECT first, last, filled, told FROM sequence_gaps")
        )
        assert rows == [(2, 3, 2, 1)]


async def test_a_gap_across_a_restart_is_noticed_and_one_that_nobody_was_told_of_is_told(
    tmp_path: Path,
) -> None:
    async with running(tmp_path) as rig:
        await say(ingest_of(rig), "1")
    async with running(tmp_path) as rig:
        await say(ingest_of(rig), "3")
        assert len(await notices(rig)) == 1
        await rig.journal.write(lambda t: t.execute("UPDATE sequence_gaps SET told = 0"))  # killed before it
    async with running(tmp_path) as rig:
        await ingest_of(rig).tell_gaps()
        assert len(await notices(rig)) == 1  # it was: its id is the same
        assert await rig.journal.read(sequences.untold) == []


async def test_what_has_no_number_or_none_that_can_be_counted_is_left_alone(tmp_path: Path) -> None:
    async with running(tmp_path) as rig:
        taken = ingest_of(rig)
        await say(taken, "-")
        await say(taken, "1", "9", prefix="x")
        await say(taken, "-", prefix="y")
        assert len(await notices(rig)) == 1


@given(st.permutations(list(range(1, 15))))
def test_in_any_order_all_gaps_are_filled_at_the_end(arrivals: list[int]) -> None:
    connection = apsw.Connection(":memory:")
    for table in sequences.TABLES:
        connection.execute(table)
    transaction = Statements(connection)
    for number in arrivals:
        event = msgspec.structs.replace(order(number, "o"), sequence=f"{number:04d}")
        sequences.hear(transaction, [event], 1.0)
    rows = transaction.execute("SELECT first, last, filled FROM sequence_gaps")
    assert all(filled == last - first + 1 for first, last, filled in rows)
    missed = {number for first, last, _ in rows for number in range(first, last + 1)}
    late = {n for at, n in enumerate(arrivals) if n > arrivals[0] and any(m > n for m in arrivals[:at])}
    assert missed == late
    connection.close()
