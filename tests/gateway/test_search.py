"""The search projection: complete, rebuilt when lost, and no trouble to the journal."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import apsw
import pytest
from hypothesis import given
from hypothesis import strategies as st

from canonical.event import Event
from canonical.ports import RawMessage, Recorded
from gateway.projections import questions
from gateway.projections.business_keys import keys_of
from gateway.projections.index import Index
from gateway.projections.questions import Filters
from gateway.projections.search import Behind, Search
from router.journal import IngestBatch, Message
from router.journal.retention import Retention
from router.journal.sqlite import SQLiteJournal
from tests.gateway.hubs import event
from tests.waiting import eventually


class Rig:
    """A journal and its search."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.number = 0

    async def __aenter__(self) -> Rig:
        self.journal = SQLiteJournal(self.folder)
        self.search = Search(self.folder)
        await self.journal.open()
        await self.search.open(self.journal)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.search.close()
        await self.journal.close()

    async def say(self, number: int, **more: Any) -> None:
        now = datetime.now(UTC)
        for _ in range(number):
            self.number += 1
            made = event(self.number, recordedtime=now, **more)
            raw = RawMessage(adapter="api", id=str(self.number), body=b"", received_at=now)
            await self.journal.append(IngestBatch(adapter="api", messages=[Message(raw=raw, events=[made])]))


async def test_it_goes_on_where_it_was(tmp_path: Path) -> None:
    async with Rig(tmp_path) as rig:
        await rig.say(5)
        assert await rig.search.page(Filters()) == [1, 2, 3, 4, 5]
    journal = SQLiteJournal(tmp_path)
    await journal.open()
    raw = RawMessage(adapter="api", id="x", body=b"", received_at=datetime.now(UTC))
    await journal.append(IngestBatch(adapter="api", messages=[Message(raw=raw, events=[event(99)])]))
    await journal.close()
    async with Rig(tmp_path) as rig:
        assert rig.search.position == 5
        assert await rig.search.page(Filters()) == [1, 2, 3, 4, 5, 6]


@pytest.mark.parametrize("harm", ["lost", "damaged", "older version", "no file of ours"])
async def test_it_is_made_anew_when_it_cannot_be_used(tmp_path: Path, harm: str) -> None:
    async with Rig(tmp_path) as rig:
        await rig.say(5)
        await rig.search.caught_up()
    path = tmp_path / "search.db"
    match harm:
        case "lost":
            path.unlink()
        case "damaged":
            path.write_bytes(b"\x00" * 5000)
        case "older version":
            connection = apsw.Connection(str(path))
            connection.execute("UPDATE meta SET value = 0 WHERE name = 'version'")
            connection.close()
        case _:
            path.write_text("something else")
    async with Rig(tmp_path) as rig:
        assert await rig.search.page(Filters()) == [1, 2, 3, 4, 5]
        assert await rig.search.lookup("/plants/aachen/adapters/mes", "000003") == 3


async def test_a_journal_from_a_backup_makes_it_anew(tmp_path: Path) -> None:
    async with Rig(tmp_path / "a") as rig:
        await rig.say(9)
        await rig.search.caught_up()
    async with Rig(tmp_path / "b") as rig:
        await rig.say(3, subject="other")
        await rig.search.caught_up()
    (tmp_path / "a" / "search.db").replace(tmp_path / "b" / "search.db")
    for end in ("-wal", "-shm"):
        (tmp_path / "b" / f"search.db{end}").unlink(missing_ok=True)
    async with Rig(tmp_path / "b") as rig:
        assert await rig.search.page(Filters(subject="other")) == [1, 2, 3]


async def test_it_forgets_what_the_journal_forgot(tmp_path: Path) -> None:
    async with Rig(tmp_path) as rig:
        await rig.say(6)
        await rig.search.caught_up()
        rig.journal._retention = Retention(retain_s=0.0, keep_after=lambda: 4)
        await rig.journal.retain()
        await rig.search.forget()
        assert await rig.search.page(Filters()) == [5, 6]
        assert await rig.search.find("O-2") == []
        assert [hit.position for hit in await rig.search.find("O-5")] == [5]


async def test_a_burst_beyond_its_buffer_is_read_from_the_journal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with Rig(tmp_path) as rig:
        monkeypatch.setattr(rig.search._follower, "_most", 10)
        held = asyncio.Event()
        hand_over = rig.search._in_writer

        async def slowly(work: Any) -> Any:
            await held.wait()
            return await hand_over(work)

        monkeypatch.setattr(rig.search, "_in_writer", slowly)
        await rig.say(50)
        assert rig.search._follower.lagging
        held.set()
        assert len(await rig.search.page(Filters())) == 50
        await rig.say(3)
        assert len(await rig.search.page(Filters())) == 53
        await eventually(lambda: not rig.search._follower.lagging)


async def test_an_answer_that_would_lack_something_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with Rig(tmp_path) as rig:
        await rig.say(1)
        await rig.search.caught_up()

        async def never(work: Any) -> Any:
            await asyncio.Event().wait()

        monkeypatch.setattr(rig.search, "_in_writer", never)
        await rig.say(1)
        with pytest.raises(Behind, match="position 1 of 2"):
            await rig.search.caught_up(within_s=0.05)
        monkeypatch.undo()


async def test_a_full_disk_holds_it_up_and_it_goes_on_by_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.projections.following._RETRY_S", 0.02)
    async with Rig(tmp_path) as rig:
        failing = True
        add = rig.search._index.add

        def refuse(recorded: Any, reached: int) -> None:
            if failing:
                raise apsw.FullError("disk is full")
            add(recorded, reached)

        monkeypatch.setattr(rig.search._index, "add", refuse)
        await rig.say(3)
        with pytest.raises(Behind):
            await rig.search.caught_up(within_s=0.1)
        failing = False
        assert await rig.search.page(Filters()) == [1, 2, 3]


def test_a_failed_batch_leaves_nothing_behind(tmp_path: Path) -> None:
    opened = Index(tmp_path / "search.db")
    good = Recorded(1, event(1))
    bad = Recorded(2, event(2, source="/new/source", subject="\ud800"))
    with pytest.raises(Exception):  # noqa: B017, PT011 - whatever the encoder says of half a surrogate pair
        opened.add([good, bad], 2)
    assert opened.position == 0
    opened.add([good, Recorded(2, event(2, source="/new/source"))], 2)
    assert questions.page(questions.reader(tmp_path / "search.db"), Filters(source="/new/source"), 0, 10) == [
        2
    ]
    opened.close()


def test_business_keys_are_found_at_any_depth() -> None:
    data = {
        "asn": "ASN-1",
        "lines": [{"order": "O-9", "lots": ["L-1", "L-2"], "item": "A"}, {"sscc": "376130321109103420"}],
        "reason": {"code": "x", "text": "y"},
        "order": 4711,
        "serials": ["S-1", None, 5],
        "message": "",
    }
    made = event(1, data=data, subject="SUB", correlationid="COR")
    assert keys_of(made) == {
        *("ASN-1", "O-9", "L-1", "L-2", "376130321109103420", "4711", "S-1", "SUB", "COR"),
    }


def test_business_keys_are_bounded() -> None:
    many = event(1, data={"lots": [f"L-{number}" for number in range(10_000)], "order": "x" * 300})
    assert len(keys_of(many)) <= 500
    deep: dict[str, Any] = {"lot": "bottom"}
    for _ in range(60):
        deep = {"inner": deep}
    assert keys_of(event(1, data=deep)) == set()


# ── against the plain truth ──

PLANTS = st.sampled_from(["aachen", "brno", None])
TEXTS = st.sampled_from(["a", "b", "c"])
BEGIN = datetime(2026, 1, 1, tzinfo=UTC)


@st.composite
def histories(draw: st.DrawFn) -> list[Event]:
    return [
        event(
            number,
            plantid=draw(PLANTS),
            subject=draw(TEXTS),
            correlationid=draw(st.none() | TEXTS),
            source=f"/{draw(TEXTS)}",
            recordedtime=BEGIN + timedelta(seconds=draw(st.integers(0, 30))),
            data={"order": draw(TEXTS)},
        )
        for number in range(1, draw(st.integers(1, 25)) + 1)
    ]


@given(
    events=histories(),
    plant=st.none() | st.sampled_from(["aachen", "brno", "-"]),
    subject=st.none() | TEXTS,
    correlationid=st.none() | TEXTS,
    source=st.none() | TEXTS,
    since=st.none() | st.integers(0, 30),
    until=st.none() | st.integers(0, 30),
    plants=st.none() | st.frozensets(st.sampled_from(["aachen", "brno"]), min_size=1),
    after=st.integers(0, 25),
    cuts=st.integers(1, 7),
)
def test_a_page_is_what_a_plain_filter_would_give(
    tmp_path_factory: pytest.TempPathFactory,
    events: list[Event],
    plant: str | None,
    subject: str | None,
    correlationid: str | None,
    source: str | None,
    since: int | None,
    until: int | None,
    plants: frozenset[str] | None,
    after: int,
    cuts: int,
) -> None:
    path = tmp_path_factory.mktemp("index") / "search.db"
    opened = Index(path)
    recorded = [Recorded(number, each) for number, each in enumerate(events, 1)]
    for start in range(0, len(recorded), cuts):
        part = recorded[start : start + cuts]
        opened.add(part, part[-1].position)
    low = None if since is None else (BEGIN + timedelta(seconds=since)).timestamp()
    high = None if until is None else (BEGIN + timedelta(seconds=until)).timestamp()
    filters = Filters(
        plant=plant,
        subject=subject,
        correlationid=correlationid,
        source=None if source is None else f"/{source}",
        since=low,
        until=high,
        plants=plants,
    )

    def wanted(item: Recorded) -> bool:
        each = item.event
        at = each.recordedtime.timestamp() if each.recordedtime else 0.0
        return (
            item.position > after
            and plant in {None, each.plantid or "-"}
            and (plants is None or (each.plantid or "-") in plants)
            and subject in {None, each.subject}
            and correlationid in {None, each.correlationid}
            and (source is None or each.source == f"/{source}")
            and (low is None or at >= low)
            and (high is None or at <= high)
        )

    connection = questions.reader(path)
    assert questions.page(connection, filters, after, 100) == [
        item.position for item in recorded if wanted(item)
    ]
    connection.close()
    opened.close()
