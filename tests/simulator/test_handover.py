"""Files that wait to be taken: whole when they appear, safe when they are gone."""

import asyncio
from datetime import UTC, datetime
from pathlib import Path

from simulator.handover import Handover
from simulator.ledger import Fact, Ledger
from simulator.shift import Shift
from tests.waiting import eventually


def fact(key: str) -> Fact:
    return Fact(
        adapter="brno-mes-orders",
        protocol="sftp",
        format="csv",
        type="production.order.released",
        key=key,
        at=datetime(2026, 3, 2, tzinfo=UTC),
    )


def test_a_file_is_safe_when_it_was_taken_away(tmp_path: Path) -> None:
    ledger = Ledger()
    handover = Handover(tmp_path, ledger)
    handover.put("a.csv", b"one", fact("1"), fact("2"))
    handover.put("b.csv", b"two", fact("3"))
    assert sorted(file.name for file in tmp_path.iterdir()) == ["a.csv", "b.csv"]
    handover.look()
    assert (ledger.sent.total(), ledger.safe_total) == (3, 0)
    (tmp_path / "a.csv").unlink()
    handover.look()
    assert (ledger.safe_total, handover.waiting) == (2, 1)


async def test_at_the_end_it_waits_until_everything_is_taken(tmp_path: Path) -> None:
    handover, shift = Handover(tmp_path, Ledger()), Shift()
    shift.begin()
    handover.put("a.csv", b"one", fact("1"))
    handover.put("b.csv", b"two", fact("2"))
    watching = asyncio.create_task(handover.watch(shift))
    (tmp_path / "a.csv").unlink()
    await eventually(lambda: handover.waiting == 1)
    shift.end()
    done, _ = await asyncio.wait([watching], timeout=0.2)
    assert not done
    (tmp_path / "b.csv").unlink()
    await eventually(watching.done)


async def test_at_the_end_it_does_not_wait_for_nobody(tmp_path: Path) -> None:
    handover, shift = Handover(tmp_path, Ledger()), Shift()
    shift.end()
    handover.put("a.csv", b"one", fact("1"))
    await handover.watch(shift)
    assert handover.waiting == 1
