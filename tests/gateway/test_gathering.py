"""What many requests publish at once is recorded together, and everybody gets their own answer."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime

import pytest

from canonical.ports import Outcome, RawMessage
from gateway.gathering import Gathering, TooSlow
from router.journal import Message, StorageError
from tests.waiting import eventually


def message(name: str) -> Message:
    return Message(raw=RawMessage(adapter="api", id=name, body=b"", received_at=datetime.now(UTC)), events=())


class Journal:
    """Records when it is told to; the outcome of a message tells its number as the position."""

    def __init__(self) -> None:
        self.batches: list[list[str]] = []
        self.go = asyncio.Event()
        self.errors: dict[str, Exception] = {}

    async def record(self, messages: Sequence[Message]) -> Sequence[Outcome]:
        names = [one.raw.id for one in messages]
        self.batches.append(names)
        await self.go.wait()
        for name in names:
            if name in self.errors:
                raise self.errors[name]
        return [Outcome(status="accepted", positions=(int(name),)) for name in names]


async def asked(gathering: Gathering, *names: str) -> list[int]:
    outcomes = await gathering.record([message(name) for name in names])
    return [outcome.positions[0] for outcome in outcomes]


async def test_what_comes_during_a_commit_shares_the_next_one() -> None:
    journal = Journal()
    gathering = Gathering(journal.record, within_s=30)
    first = asyncio.create_task(asked(gathering, "1"))
    await eventually(lambda: journal.batches)
    others = [asyncio.create_task(asked(gathering, *names)) for names in (["2", "3"], ["4"], ["5", "6"])]
    await asyncio.sleep(0)
    journal.go.set()
    assert await first == [1]
    assert await asyncio.gather(*others) == [[2, 3], [4], [5, 6]]
    assert journal.batches == [["1"], ["2", "3", "4", "5", "6"]]


async def test_one_after_the_other_goes_without_company() -> None:
    journal = Journal()
    journal.go.set()
    gathering = Gathering(journal.record, within_s=30)
    assert [await asked(gathering, name) for name in "123"] == [[1], [2], [3]]
    assert journal.batches == [["1"], ["2"], ["3"]]


async def test_a_commit_is_bounded() -> None:
    journal = Journal()
    gathering = Gathering(journal.record, within_s=30)
    tasks = [
        asyncio.create_task(asked(gathering, *(str(first + n) for n in range(400))))
        for first in (0, 400, 800, 1200)
    ]
    journal.go.set()
    assert [positions[0] for positions in await asyncio.gather(*tasks)] == [0, 400, 800, 1200]
    assert [len(batch) for batch in journal.batches] == [1200, 400]


async def test_a_disk_that_fails_fails_all_of_a_commit() -> None:
    journal = Journal()
    journal.errors["2"] = StorageError("the disk is full")
    gathering = Gathering(journal.record, within_s=30)
    tasks = [asyncio.create_task(asked(gathering, name)) for name in "123"]
    journal.go.set()
    answers = await asyncio.gather(*tasks, return_exceptions=True)
    assert all(isinstance(answer, StorageError) for answer in answers)
    journal.errors.clear()
    assert await asked(gathering, "4") == [4]


async def test_what_one_request_breaks_breaks_no_other() -> None:
    journal = Journal()
    journal.errors["2"] = RuntimeError("not that one")
    gathering = Gathering(journal.record, within_s=30)
    tasks = [asyncio.create_task(asked(gathering, name)) for name in "123"]
    journal.go.set()
    first, second, third = await asyncio.gather(*tasks, return_exceptions=True)
    assert (first, third) == ([1], [3])
    assert isinstance(second, RuntimeError)


async def test_a_journal_that_hangs_is_told_and_goes_on() -> None:
    journal = Journal()
    gathering = Gathering(journal.record, within_s=0.05)
    with pytest.raises(TooSlow):
        await asked(gathering, "1")
    with pytest.raises(TooSlow):
        await asked(gathering, "2")
    journal.go.set()
    assert await asked(gathering, "3") == [3]
    assert journal.batches == [["1"], ["3"]]  # whoever was told no, and had not begun, is forgotten


async def test_who_goes_away_takes_nobody_along() -> None:
    journal = Journal()
    gathering = Gathering(journal.record, within_s=30)
    gone, stays = (asyncio.create_task(asked(gathering, name)) for name in "12")
    await eventually(lambda: journal.batches)
    gone.cancel()
    journal.go.set()
    assert await stays == [2]
    assert gone.cancelled()
