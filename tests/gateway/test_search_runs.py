"""Events that the search keeps in runs are found as those that have rows of their own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from canonical import catalogue
from canonical.event import Event
from canonical.ports import Recorded
from gateway.projections import questions, runs
from gateway.projections.filters import Filters, Hit
from gateway.projections.index import Index
from tests.gateway.hubs import event

READING = catalogue.full_name("telemetry.measurement.recorded")
HOLD = catalogue.full_name("quality.hold.placed")
BEGIN = datetime(2026, 1, 1, tzinfo=UTC)
TEXTS = st.sampled_from(["a", "b", "c"])


def reading(number: int, **more: Any) -> Event:
    given: dict[str, Any] = {"subject": "press-1", "recordedtime": BEGIN, "time": BEGIN, **more}
    return event(number, type=READING, domain="telemetry", data={"value": number}, **given)


def at(events: list[Event], first: int = 1) -> list[Recorded]:
    return [Recorded(first + index, each) for index, each in enumerate(events)]


@contextmanager
def indexed(path: Path, *batches: list[Recorded], fewest: int = 2, span: int = 8) -> Iterator[Index]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(runs, "FEWEST", fewest)
        patch.setattr(runs, "SPAN", span)
        opened = Index(path)
        for batch in batches:
            opened.add(batch, batch[-1].position)
        yield opened
        opened.close()


def rows(path: Path, table: str) -> int:
    connection = questions.reader(path)
    found = connection.execute(f"SELECT count(*) FROM {table}").fetchall()
    connection.close()
    return int(str(found[0][0]))


def test_a_flood_of_readings_is_a_few_rows(tmp_path: Path) -> None:
    many = at([reading(n, subject=f"press-{n % 20}") for n in range(2000)])
    with indexed(tmp_path / "s.db", many, fewest=16, span=4096):
        found = {name: rows(tmp_path / "s.db", name) for name in ("events", "keys", "runs", "run_keys")}
    assert found == {"events": 0, "keys": 0, "runs": 1, "run_keys": 20}


@pytest.mark.parametrize(
    "more",
    [{"correlationid": "c"}, {"causationid": "c"}, {"type": HOLD}, {"type": "com.example.unknown"}],
)
def test_what_is_tied_to_something_has_a_row(tmp_path: Path, more: dict[str, Any]) -> None:
    made = [structs.replace(reading(n), **more) for n in range(1, 20)]
    with indexed(tmp_path / "s.db", at(made)):
        assert (rows(tmp_path / "s.db", "events"), rows(tmp_path / "s.db", "runs")) == (19, 0)


def test_ids_that_do_not_grow_have_rows(tmp_path: Path) -> None:
    falling = at([reading(n) for n in range(9, 0, -1)])
    late = at([reading(n) for n in range(20, 26)], 10), at([reading(n) for n in range(14, 19)], 16)
    with indexed(tmp_path / "s.db", falling, *late):
        assert (rows(tmp_path / "s.db", "events"), rows(tmp_path / "s.db", "runs")) == (9 + 5, 1)


def test_what_the_journal_forgot_is_not_found_in_a_run_that_stays(tmp_path: Path) -> None:
    path = tmp_path / "s.db"
    with indexed(
        path, at([reading(n) for n in range(1, 7)]), at([reading(n) for n in range(7, 13)], 7)
    ) as index:
        while index.forget(9):
            pass
        connection = questions.reader(path)
        assert questions.page(connection, Filters(), 0, 100) == [9, 10, 11, 12]
        assert [hit.position for hit in questions.find(connection, "press-1", Filters(), 100)] == [
            12,
            11,
            10,
            9,
        ]
        assert questions.find(connection, "000008", Filters(), 9) == []
        assert questions.lookup(connection, "/plants/aachen/adapters/mes", "000008") is None
        connection.close()
        assert rows(path, "runs") == 1
        while index.forget(13):
            pass
        assert [rows(path, name) for name in ("runs", "run_bodies", "run_keys")] == [0, 0, 0]


@st.composite
def histories(draw: st.DrawFn) -> list[Event]:
    made = []
    for number in range(1, draw(st.integers(1, 40)) + 1):
        moment = BEGIN + timedelta(seconds=draw(st.integers(0, 3)) + number // 10)
        more: dict[str, Any] = {
            "plantid": draw(st.sampled_from(["aachen", "aachen", None])),
            "subject": draw(TEXTS),
            "source": f"/{draw(st.sampled_from('ab'))}",
            "recordedtime": moment,
            "time": draw(st.sampled_from([moment, moment - timedelta(hours=1)])),
        }
        if draw(st.integers(0, 5)):
            made.append(reading(number, **more))
        else:
            made.append(event(number, type=HOLD, correlationid=draw(st.none() | TEXTS), **more))
    return made


def hit(item: Recorded) -> Hit:
    """The plain truth about one event."""
    each = item.event
    assert each.recordedtime is not None
    assert each.time is not None
    return Hit(
        position=item.position,
        source=each.source,
        id=each.id,
        type=each.type,
        plant=each.plantid or "-",
        domain=each.domain or "-",
        subject=each.subject,
        correlationid=each.correlationid,
        causationid=each.causationid,
        recorded_at=each.recordedtime.timestamp(),
        time=each.time.timestamp(),
    )


@given(
    events=histories(),
    cuts=st.integers(1, 17),
    fewest=st.integers(2, 5),
    span=st.sampled_from([4, 8, 4096]),
    after=st.integers(0, 40),
    limit=st.integers(1, 12),
    filters=st.fixed_dictionaries(
        {},
        optional={
            "type": st.sampled_from([READING, HOLD]),
            "subject": TEXTS,
            "source": st.sampled_from(["/a", "/b", "/c"]),
            "plant": st.sampled_from(["aachen", "-"]),
            "plants": st.just(frozenset({"aachen"})),
            "correlationid": TEXTS,
            "since": st.integers(0, 6).map(lambda s: (BEGIN + timedelta(seconds=s)).timestamp()),
            "until": st.integers(0, 6).map(lambda s: (BEGIN + timedelta(seconds=s)).timestamp()),
        },
    ),
    text=st.one_of(TEXTS, st.integers(1, 41).map(lambda n: f"{n:06d}"), st.integers(1, 41).map(str)),
    forget=st.integers(0, 20),
)
def test_answers_are_those_of_a_plain_filter(
    tmp_path_factory: pytest.TempPathFactory,
    events: list[Event],
    cuts: int,
    fewest: int,
    span: int,
    after: int,
    limit: int,
    filters: dict[str, Any],
    text: str,
    forget: int,
) -> None:
    path = tmp_path_factory.mktemp("runs") / "s.db"
    all_, wanted = at(events), Filters(**filters)
    seen = Filters(plants=wanted.plants)
    batches = [all_[start : start + cuts] for start in range(0, len(all_), cuts)]
    with indexed(path, *batches, fewest=fewest, span=span) as index:
        while index.forget(forget):
            pass
        connection = questions.reader(path)
        truth = [hit(item) for item in all_ if item.position >= forget]

        def fits(each: Hit) -> bool:
            return (
                each.position > after
                and wanted.type in (None, each.type)
                and wanted.subject in (None, each.subject)
                and wanted.source in (None, each.source)
                and wanted.plant in (None, each.plant)
                and wanted.correlationid in (None, each.correlationid)
                and (wanted.plants is None or each.plant in wanted.plants)
                and (wanted.since is None or each.recorded_at >= wanted.since)
                and (wanted.until is None or each.recorded_at <= wanted.until)
            )

        assert (
            questions.page(connection, wanted, after, limit) == [e.position for e in truth if fits(e)][:limit]
        )
        found = [
            each
            for each in reversed(truth)
            if (wanted.plants is None or each.plant in wanted.plants)
            and (text in {each.id, each.subject, each.correlationid} or text == str(each.position))
        ]
        assert questions.find(connection, text, seen, limit) == found[:limit]
        named = [each.position for each in truth if (each.source, each.id) == ("/a", text)]
        assert questions.lookup(connection, "/a", text) == (named[0] if named else None)
        connection.close()
