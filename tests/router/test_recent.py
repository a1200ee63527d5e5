"""Who is a little behind gets from memory what the file would give."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from canonical.ports import Recorded
from router.journal import Header, IngestBatch, Settlement
from router.journal.recent import Recent
from router.journal.retention import Retention
from router.journal.sqlite import SQLiteJournal
from tests.router.rig import message, order


def commits(sizes: list[int]) -> list[list[Recorded]]:
    made: list[list[Recorded]] = []
    position = 0
    for size in sizes:
        made.append(
            [
                Recorded(
                    position + n + 1,
                    structs.replace(order(position + n, "o"), plantid="brno" if len(made) % 3 else "aachen"),
                )
                for n in range(size)
            ]
        )
        position += size
    return made


def brno(header: Header) -> bool:
    return "brno" in header.counts


@given(
    sizes=st.lists(st.integers(1, 5), min_size=1, max_size=12),
    position=st.integers(0, 60),
    limit=st.integers(1, 20),
    most=st.integers(1, 40),
    picky=st.booleans(),
)
def test_it_gives_whole_commits_or_says_that_it_cannot(
    sizes: list[int], position: int, limit: int, most: int, picky: bool
) -> None:
    made = commits(sizes)
    recent = Recent()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("router.journal.recent.MOST", most)
        for commit in made:
            recent.add(commit, 1)
    found = recent.after(position, limit, brno if picky else None)
    kept = next((n for n in range(len(made)) if sum(map(len, made[n:])) <= most), len(made))
    if kept == len(made) or position < made[kept][0].position - 1:
        assert found is None
        return
    expected: list[Recorded] = []
    reached = position
    for number, commit in enumerate(made):
        if commit[-1].position > position and len(expected) < limit:
            if not picky or number % 3:
                expected += [item for item in commit if item.position > position]
            reached = commit[-1].position
    assert found == (expected, reached)


def test_large_documents_are_bounded_by_their_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("router.journal.recent.MOST_BYTES", 1000)
    recent, made = Recent(), commits([2, 2, 2])
    for commit in made:
        recent.add(commit, 500)
    assert recent.after(0, 10, None) is None
    assert recent.after(2, 10, None) == ([*made[1], *made[2]], 6)
    recent.add(commits([2, 2, 2, 1])[-1], 5000)
    assert recent.after(6, 10, None) is None


async def test_the_journal_answers_from_memory_as_from_the_file(tmp_path: Path) -> None:
    journal = SQLiteJournal(tmp_path)
    await journal.open()
    for n in range(0, 30, 3):
        batch = [message(order(n + k, "o")) for k in range(3)]
        await journal.append(IngestBatch(adapter="mes", messages=batch))
    from_memory = [await journal.events(after, limit=5) for after in range(31)]
    journal._recent = Recent()
    assert [await journal.events(after, limit=5) for after in range(31)] == from_memory
    await journal.close()


async def test_what_the_retention_removed_is_not_given_from_memory(tmp_path: Path) -> None:
    journal = SQLiteJournal(tmp_path, retention=Retention(retain_s=0.0))
    await journal.open()
    await journal.write(lambda t: t.execute("INSERT INTO cursors VALUES ('slow', 0)"))
    for n in range(5):
        await journal.append(IngestBatch(adapter="mes", messages=[message(order(n, "o"))]))
    journal.settle(Settlement(route="slow", position=3))
    await journal.write(lambda _: None)
    await journal.retain()
    assert [item.position for item in (await journal.events(0))[0]] == [4, 5]
    await journal.close()


async def test_an_idle_journal_keeps_nothing_in_memory(tmp_path: Path) -> None:
    journal = SQLiteJournal(tmp_path)
    await journal.open()
    await journal.append(IngestBatch(adapter="mes", messages=[message(order(1, "o"))]))
    await journal.retain()
    assert journal._recent.after(0, 10, None) is not None
    await journal.retain()
    assert journal._recent.after(0, 10, None) is None
    assert len((await journal.events(0))[0]) == 1
    await journal.close()
