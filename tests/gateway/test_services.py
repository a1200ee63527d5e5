"""The services' projection: what it makes of events in any order, and that it survives its file's loss."""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import apsw
import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from canonical import catalogue
from canonical.event import Event
from canonical.ports import RawMessage, Recorded
from gateway.projections.services.entry import Entry, view_of
from gateway.projections.services.file import ServiceFile
from gateway.projections.services.fold import views
from gateway.projections.services.projection import Services
from gateway.projections.services.registry import SERVICES
from gateway.projections.services.service import Service
from gateway.projections.services.taking import DID_NOT_OCCUR, REASON, Taking
from router.journal import IngestBatch, Message
from router.journal.retention import Retention
from router.journal.sqlite import SQLiteJournal
from tests.waiting import eventually

BEGIN = datetime(2026, 3, 1, tzinfo=UTC)
SOURCE = "/plants/aachen/adapters/mes"
Content = dict[str, dict[str, Any]]


def at(minutes: float) -> str:
    return (BEGIN + timedelta(minutes=minutes)).isoformat()


def said(number: int, suffix: str, data: dict[str, Any], **more: Any) -> Event:
    """An event that happened ``number`` minutes after the beginning, unless ``more`` says otherwise."""
    assert not catalogue.validate(suffix, data)
    given = {
        "id": f"e-{number}",
        "source": SOURCE,
        "time": BEGIN + timedelta(minutes=number),
        "plantid": "aachen",
        "recordedtime": BEGIN + timedelta(minutes=number),
        "subject": catalogue.default_subject(suffix, data),
        **more,
    }
    return Event(type=catalogue.full_name(suffix), domain=catalogue.get(suffix).domain, data=data, **given)


def quantity(value: object, uom: str = "H87") -> dict[str, str]:
    return {"value": str(value), "uom": uom}


def order(number: int, status: str = "created", *, name: str = "O-1", item: str = "A", **more: Any) -> Event:
    start, end = at(number), at(number + 60)
    planned = {
        "order": name,
        "item": item,
        "quantity": quantity(number),
        "planned_start": start,
        "planned_end": end,
    }
    match status:
        case "created":
            return said(number, "production.order.created", planned, **more)
        case "released":
            return said(number, "production.order.released", {**planned, "work_centre": "W"}, **more)
        case "completed":
            done = {"order": name, "item": item, "good": quantity(5), "scrap": quantity(0)}
            return said(number, "production.order.completed", {**done, "completed_at": at(number)}, **more)
        case "running":
            started = {"order": name, "operation": "10", "work_centre": "W", "started_at": at(number)}
            return said(number, "production.operation.started", started, **more)
        case _:
            changed = {"order": name, "status": status, "reason": {"code": "r"}}
            return said(number, "production.order.status_changed", changed, **more)


def value(number: int, tag: str = "t", *, seen: float | None = None, **more: Any) -> Event:
    data = {
        "equipment": "press",
        "tag": tag,
        "value": number,
        "uom": "CEL",
        "quality": "good",
        "source_time": at(number if seen is None else seen),
    }
    return said(number, "telemetry.measurement.recorded", data, **more)


PLACE = {"plant": "aachen", "storage": "0001"}


def balance(number: int, on_hand: int, *, as_of: float | None = None, **more: Any) -> Event:
    extra: dict[str, Any] = {name: more.pop(name) for name in ("status", "lot") if name in more}
    data = {"location": PLACE, "item": "A", "on_hand": quantity(on_hand)}
    taken = at(number if as_of is None else as_of)
    return said(number, "inventory.balance.reported", {**data, "as_of": taken, **extra}, **more)


def adjusted(number: int, delta: int, uom: str = "H87", *, posted: float | None = None, **more: Any) -> Event:
    data = {"location": PLACE, "item": "A", "delta": quantity(delta, uom), "reason": {"code": "count"}}
    when = at(number if posted is None else posted)
    return said(number, "inventory.adjusted", {**data, "posted_at": when}, **more)


def moved(number: int, amount: int, **more: Any) -> Event:
    other = {"plant": "aachen", "storage": "0002"}
    data = {"from": PLACE, "to": other, "item": "A", "quantity": quantity(amount), "at": at(number)}
    return said(number, "inventory.moved", data, **more)


def numbered(events: Iterable[Event]) -> list[Recorded]:
    return [Recorded(position, event) for position, event in enumerate(events, 1)]


# ── what a file has, and what the plain truth is ──


def content(path: Path, services: Sequence[Service] = SERVICES) -> Content:
    """Everything that is shown, by service and key; cells with the positions they come from."""
    connection = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
    found: Content = {}
    for service in services:
        rows: list[Any] = connection.execute(f'SELECT * FROM "{service.table}"').fetchall()
        found[service.name] = {row[0]: _plain(row[1:-1], *view_of(row[-1])) for row in rows}
    connection.close()
    return found


def _plain(columns: Any, cells: Any, origins: Any, changed_at: float, subject: str | None) -> Any:
    return columns, _named(cells, origins), changed_at, subject


def _named(cells: Any, origins: Any) -> Any:
    """Cells with the position of their event in place of the number of their origin."""
    if isinstance(cells, dict):
        return {name: _named(cell, origins) for name, cell in cells.items()}
    if len(cells) == 3 and isinstance(cells[1], int):
        return [cells[0], origins[cells[1]].position if cells[1] >= 0 else None, cells[2]]
    return [_named(each, origins) for each in cells]


def truth(recorded: Sequence[Recorded], services: Sequence[Service] = SERVICES) -> Content:
    """The same, folded from all events at once in memory."""
    corrected = {(item.event.source, item.event.correctsid) for item in recorded if item.event.correctsid}
    families: dict[str, dict[str, list[Entry]]] = {service.name: {} for service in services}
    for item in recorded:
        if (item.event.source, item.event.id) not in corrected:
            for service, family, entry in Taking(services).entries(item):
                families[service.name].setdefault(family, []).append(entry)
    found: Content = {}
    for service in services:
        made = [
            view
            for family, entries in families[service.name].items()
            for view in views(service, family, entries)
        ]
        names = (*service.columns, "due", "open", "delayed")
        found[service.name] = {
            view.key: _plain(
                (view.plant, view.position, *(view.columns.get(name) for name in names)),
                msgspec.to_builtins(view.cells),
                view.origins,
                view.changed_at,
                view.subject,
            )
            for view in made
        }
    return found


def cells_of(recorded: Sequence[Recorded], service: str) -> list[dict[str, Any]]:
    """The values of a service's things, by key."""
    rows = sorted(truth(recorded)[service].items(), key=lambda item: item[0])
    return [_values(row[1]) for _, row in rows]


def _values(cells: Any) -> Any:
    """Named cells without where they come from."""
    if isinstance(cells, dict):
        return {name: _values(cell) for name, cell in cells.items()}
    if len(cells) == 3 and isinstance(cells[2], str):
        return cells[0]
    return [_values(each) for each in cells]


PLANTS = st.sampled_from(["aachen", "brno", None])
NUMBERS = st.integers(0, 40)


@st.composite
def histories(draw: st.DrawFn) -> list[Event]:
    made: list[Event] = []
    for number in range(draw(st.integers(1, 25))):
        minute, plant = draw(NUMBERS), draw(PLANTS)
        kind = draw(st.sampled_from(["order", "value", "balance", "adjusted", "moved", "correction"]))
        more: dict[str, Any] = {"id": f"e-{number}", "plantid": plant}
        if kind == "correction" and made:
            wrong = made[draw(st.integers(0, len(made) - 1))]
            if draw(st.booleans()):
                more["extensions"] = {REASON: DID_NOT_OCCUR}
            if wrong.type == catalogue.full_name("telemetry.measurement.recorded"):
                continue  # keeps nothing beside the last value: a test of its own
            more |= {"correctsid": wrong.id, "plantid": wrong.plantid, "time": wrong.time}
            made.append(
                Event(
                    source=SOURCE,
                    type=wrong.type,
                    domain=wrong.domain,
                    subject=wrong.subject,
                    data=wrong.data,
                    **more,
                )
            )
            continue
        match kind:
            case "order" | "correction":
                names = ["created", "released", "running", "held", "resumed", "completed", "cancelled"]
                status, name = draw(st.sampled_from(names)), draw(st.sampled_from(["O-1", "O-2"]))
                made.append(order(minute, status, name=name, item=draw(st.sampled_from("AB")), **more))
            case "value":
                made.append(value(minute, draw(st.sampled_from("tu")), **more))
            case "balance":
                quality: dict[str, Any] = draw(st.sampled_from([{}, {"status": "q"}]))
                made.append(balance(minute, draw(NUMBERS), **quality, **more))
            case "adjusted":
                made.append(adjusted(minute, draw(NUMBERS), draw(st.sampled_from(["H87", "KGM"])), **more))
            case _:
                made.append(moved(minute, draw(NUMBERS), **more))
    return made


@settings(max_examples=40)  # each makes and opens real files
@given(events=histories(), seed=st.integers(0, 1000), cuts=st.integers(1, 9), crashes=st.booleans())
def test_a_file_has_what_all_events_at_once_would_give(
    tmp_path_factory: pytest.TempPathFactory, events: list[Event], seed: int, cuts: int, crashes: bool
) -> None:
    random.Random(seed).shuffle(events)
    recorded = numbered(events)
    path = tmp_path_factory.mktemp("services") / "services.db"
    opened = ServiceFile(path, SERVICES)
    for start in range(0, len(recorded), cuts):
        part = recorded[start : start + cuts]
        opened.add(part, part[-1].position)
        if crashes:  # nothing is said to the file; it is simply opened again
            opened = ServiceFile(path, SERVICES)
            opened.add(part, part[-1].position)
    assert content(path) == truth(recorded)


@given(events=histories(), seed=st.integers(0, 1000))
def test_the_order_of_arrival_does_not_matter_where_times_tell(events: list[Event], seed: int) -> None:
    distinct = {event.time: event for event in events if not event.correctsid}  # at one time the later wins
    one = list(distinct.values())
    other = random.Random(seed).sample(one, len(one))

    def without_positions(events: list[Event]) -> Any:
        made = truth(numbered(events), [each for each in SERVICES if each.stamp != "position"])
        return {name: {key: _values(row[1]) for key, row in rows.items()} for name, rows in made.items()}

    assert without_positions(one) == without_positions(other)


# ── the rules, one by one ──


def test_a_late_event_does_not_undo_what_is_newer() -> None:
    events = [order(20, item="NEW"), order(10, item="OLD", id="late")]
    (found,) = cells_of(numbered(events), "production-orders")
    assert found["item"] == "NEW"
    (shown,) = cells_of(numbered([value(9), value(5, id="late")]), "telemetry/latest")
    assert shown["value"] == 9


@pytest.mark.parametrize(
    ("story", "status"),
    [
        (["created"], "created"),
        (["released", "created"], "released"),
        (["running", "created", "released"], "running"),
        (["created", "held"], "held"),
        (["running", "held", "resumed"], "running"),
        (["running", "completed", "held"], "completed"),
        (["completed", "running"], "completed"),
        (["completed", "closed"], "closed"),
        (["released", "cancelled"], "cancelled"),
    ],
)
def test_the_status_of_an_order_is_how_far_it_is(story: list[str], status: str) -> None:
    events = [order(number, each) for number, each in enumerate(story)]
    (found,) = cells_of(numbered(events), "production-orders")
    assert found["status"] == status


def test_changes_after_a_report_are_added_and_those_before_are_not() -> None:
    events = [adjusted(5, 100), balance(10, 50), adjusted(11, -3), moved(12, 7)]
    first, second = cells_of(numbered(events), "inventory/balances")
    assert (first["on_hand"], first["reported"], first["changed"]) == (
        quantity(40),
        quantity(50),
        quantity(-10),
    )
    assert (second["on_hand"], second["changed"]) == (None, quantity(7))
    later = [*events, balance(20, 33), adjusted(21, 1, posted=9)]
    assert cells_of(numbered(later), "inventory/balances")[0]["on_hand"] == quantity(33)


def test_a_change_in_another_unit_is_counted_and_not_added() -> None:
    (found,) = cells_of(numbered([balance(1, 50), adjusted(2, 5, "KGM")]), "inventory/balances")
    assert (found["on_hand"], found["unapplied"]) == (quantity(50), 1)


def test_a_change_without_a_status_stands_apart_where_there_are_several() -> None:
    events = [balance(1, 50, status="free"), balance(1, 4, status="q", id="q"), adjusted(2, 1)]
    rows = cells_of(numbered(events), "inventory/balances")
    assert [(row["status"], row["on_hand"]) for row in rows] == [
        (None, None),
        ("free", quantity(50)),
        ("q", quantity(4)),
    ]


def test_very_many_changes_are_kept_as_few(tmp_path: Path) -> None:
    path = tmp_path / "services.db"
    opened = ServiceFile(path, SERVICES)
    recorded = numbered([balance(0, 0), *(adjusted(number, 1) for number in range(1, 2501))])
    for start in range(0, len(recorded), 100):
        opened.add(recorded[start : start + 100], recorded[start : start + 100][-1].position)
    (row,) = content(path)["inventory/balances"].values()
    assert row[1]["on_hand"][0] == quantity(2500)
    (body,) = apsw.Connection(str(path)).execute("SELECT length(entries) FROM families").fetchall()
    assert int(str(body[0])) < 300_000


def test_a_stoppage_is_open_until_its_end_whichever_came_first() -> None:
    started = {
        "equipment": "press",
        "downtime": "D-1",
        "started_at": at(1),
        "planned": False,
        "category": "breakdown",
    }
    ended = {**started, "ended_at": at(9), "duration": 480}
    del ended["category"]
    start, end = (
        said(1, "equipment.downtime.started", started),
        said(9, "equipment.downtime.ended", ended),
    )
    assert cells_of(numbered([start]), "equipment")[0]["down"] is True
    assert cells_of(numbered([start, end]), "equipment")[0]["down"] is False
    assert cells_of(numbered([end, start]), "equipment")[0]["down"] is False


def test_a_correction_takes_the_place_of_what_was_wrong_even_when_it_comes_first(tmp_path: Path) -> None:
    wrong = order(5, item="WRONG", name="O-9", id="wrong")
    right = order(5, item="RIGHT", name="O-1", id="right", correctsid="wrong")
    for number, events in enumerate(([wrong, right], [right, wrong])):
        path = tmp_path / f"{number}.db"
        opened = ServiceFile(path, SERVICES)
        for item in numbered(events):
            opened.add([item], item.position)
        (key,) = content(path)["production-orders"]
        assert "O-1" in key


def test_what_did_not_occur_leaves_nothing(tmp_path: Path) -> None:
    path = tmp_path / "services.db"
    opened = ServiceFile(path, SERVICES)
    never: dict[str, Any] = {"extensions": {REASON: DID_NOT_OCCUR}}
    events = [
        order(1, id="o"),
        order(2, id="o2", correctsid="o", **never),
        value(3, id="v"),
        value(3, id="v2", correctsid="v", **never),
    ]
    for item in numbered(events):
        opened.add([item], item.position)
    assert not any(content(path).values())
    assert apsw.Connection(str(path)).execute("SELECT count(*) FROM families").fetchall() == [(0,)]


def test_an_event_of_no_plant_is_about_whichever_plant_has_the_thing() -> None:
    events = [
        order(1, plantid=None, item="ERP"),
        order(2, "running", plantid="aachen"),
        order(3, "held", plantid="brno"),
    ]
    first, second = cells_of(numbered(events), "production-orders")
    assert (first["item"], first["status"]) == ("ERP", "running")
    assert (second["item"], second["status"]) == ("ERP", "held")


def _issued(number: int, revision: int, lines: list[dict[str, Any]], **more: Any) -> Event:
    data = {"purchase_order": "P-1", "revision": revision, "supplier": "S", "lines": lines}
    return said(number, "procurement.order.issued", data, **more)


def _line(number: str, **more: Any) -> dict[str, Any]:
    return {"line": number, "item": f"I-{number}", "quantity": quantity(10), **more}


def test_a_purchase_order_knows_what_became_of_its_lines() -> None:
    answer = {
        "purchase_order": "P-1",
        "lines": [{"line": "1", "action": "changed", "confirmed_date": "2026-04-02"}],
    }
    receipt = {
        "receipt": "R-1",
        "purchase_order": "P-1",
        "at": at(9),
        "lines": [{"item": "I-2", "received": quantity(10), "rejected": quantity(0)}],
    }
    events = [
        _issued(1, 1, [_line("1", requested_date="2026-03-20"), _line("2"), _line("3")]),
        _issued(3, 2, [_line("3", action="delete")]),
        _issued(4, 1, [_line("7")], id="an old revision that comes late"),
        said(5, "procurement.order.responded", answer, plantid=None),
        said(9, "procurement.receipt.posted", receipt),
    ]
    (found,) = cells_of(numbered(events[:2] + events[3:]), "purchase-orders")
    by_line = {line["line"]: line for line in found["lines"]}
    assert by_line["1"]["confirmed_date"] == "2026-04-02"
    assert by_line["2"]["received"] == quantity(10)
    assert [by_line[name]["open"] for name in "123"] == [True, False, False]
    (late,) = cells_of(numbered(events), "purchase-orders")
    assert late["revision"] == 2


# ── life ──


class Rig:
    """A journal and the services on it."""

    def __init__(self, folder: Path, **more: Any) -> None:
        self.folder, self.more = folder, more

    async def __aenter__(self) -> Rig:
        self.services = Services(self.folder, **self.more)
        retention = Retention(retain_s=0, keep_after=lambda: self.services.keep_after)
        self.journal = SQLiteJournal(self.folder, retention=retention)
        await self.journal.open()
        await self.services.open(self.journal)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.services.close()
        await self.journal.close()

    async def say(self, *events: Event) -> None:
        for event in events:
            raw = RawMessage(adapter="api", id=event.id, body=b"", received_at=BEGIN)
            await self.journal.append(IngestBatch(adapter="api", messages=[Message(raw=raw, events=[event])]))

    async def content(self) -> Content:
        await self.services.caught_up()
        return content(self.folder / "services.db")


def copies(folder: Path) -> list[Path]:
    """The copies that are there, the newest last."""
    return sorted(folder.glob("services-*.snapshot"), key=lambda path: int(path.name.split("-")[1]))


def _story() -> list[Event]:
    return [order(1), order(2, "released"), value(3), balance(4, 50), adjusted(5, -3), order(6, name="O-2")]


async def test_it_goes_on_where_it_was(tmp_path: Path) -> None:
    async with Rig(tmp_path) as rig:
        await rig.say(*_story()[:3])
        await rig.services.caught_up()
    async with Rig(tmp_path) as rig:
        assert rig.services.position == 3
        await rig.say(*_story()[3:])
        assert await rig.content() == truth(numbered(_story()))


@pytest.mark.parametrize(
    "harm", ["lost", "damaged", "cut", "older version", "older format", "no file of ours"]
)
@pytest.mark.parametrize("removed", [False, True], ids=["whole journal", "journal after the retention"])
async def test_it_is_made_anew_with_the_same_answers(tmp_path: Path, harm: str, removed: bool) -> None:
    async with Rig(tmp_path) as rig:
        await rig.say(*_story()[:4])
        await rig.services.caught_up()
        await rig.services.snapshot()
        await rig.say(*_story()[4:])
        whole = await rig.content()
        if removed:
            await rig.journal.retain()
            assert (await rig.journal.events(0))[0][0].position == 5, "the journal lost what it should keep"
    path = tmp_path / "services.db"
    match harm:
        case "lost":
            path.unlink()
        case "damaged":
            path.write_bytes(b"\x00" * 5000)
        case "cut":
            path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
        case "no file of ours":
            path.write_text("something else")
        case _:
            connection = apsw.Connection(str(path))
            connection.execute("UPDATE meta SET value = 0 WHERE name = ?", (harm.removeprefix("older "),))
            connection.close()
    async with Rig(tmp_path) as rig:
        assert await rig.content() == whole


async def test_a_damaged_copy_is_passed_over_for_the_one_before(tmp_path: Path) -> None:
    async with Rig(tmp_path) as rig:
        await rig.say(*_story()[:2])
        await rig.services.caught_up()
        await rig.services.snapshot()
        await rig.say(*_story()[2:4])
        await rig.services.caught_up()
        await rig.services.snapshot()
        await rig.say(*_story()[4:])
        whole = await rig.content()
        await rig.journal.retain()
    newest = copies(tmp_path)[-1]
    body = bytearray(newest.read_bytes())
    body[len(body) // 2] ^= 1
    newest.write_bytes(body)
    (tmp_path / "services.db").unlink()
    async with Rig(tmp_path) as rig:
        assert await rig.content() == whole


async def test_without_a_copy_the_journal_keeps_everything(tmp_path: Path) -> None:
    async with Rig(tmp_path) as rig:
        await rig.say(*_story())
        await rig.services.caught_up()
        await rig.journal.retain()
        assert len((await rig.journal.events(0))[0]) == len(_story())


async def test_copies_are_taken_by_themselves_and_two_are_kept(tmp_path: Path) -> None:
    async with Rig(tmp_path, snapshot_every_s=0.01) as rig:
        for item in _story():
            await rig.say(item)
            await rig.services.caught_up()
            await eventually(lambda: rig.services.newest_copy == rig.services.position)
        assert len(copies(tmp_path)) == 2


async def test_a_journal_from_a_backup_makes_it_anew(tmp_path: Path) -> None:
    async with Rig(tmp_path) as rig:
        await rig.say(*_story()[:2])
        await rig.services.caught_up()
        await rig.services.snapshot()
        await rig.say(*_story()[2:])
        await rig.services.caught_up()
        await rig.services.snapshot()
    for end in ("", "-wal", "-shm"):
        (tmp_path / f"journal.db{end}").unlink(missing_ok=True)
    async with Rig(tmp_path) as rig:
        assert await rig.content() == truth([])
        await rig.say(order(1, name="ANOTHER"))
        assert await rig.content() == truth(numbered([order(1, name="ANOTHER")]))


async def test_a_file_that_turns_out_damaged_is_made_anew_under_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.projections.following._RETRY_S", 0.01)
    async with Rig(tmp_path) as rig:
        await rig.say(*_story()[:3])
        await rig.services.caught_up()
        await rig.services.snapshot()

        def broken(*_: object) -> None:
            raise apsw.CorruptError("database disk image is malformed")

        assert rig.services._file is not None
        monkeypatch.setattr(rig.services._file, "add", broken)
        await rig.say(*_story()[3:])
        await eventually(lambda: rig.services.position == len(_story()))
        assert await rig.content() == truth(numbered(_story()))


async def test_a_failed_batch_leaves_nothing_behind(tmp_path: Path) -> None:
    path = tmp_path / "services.db"
    opened = ServiceFile(path, SERVICES)
    good, bad = Recorded(1, order(1)), Recorded(2, order(2, name="O-2", id="\ud800"))
    with pytest.raises(Exception):  # noqa: B017, PT011 - whatever the encoder says of half a surrogate pair
        opened.add([good, bad], 2)
    assert opened.position == 0
    opened.add([good], 1)
    assert content(path) == truth([good])


def test_types_that_nobody_reads_are_passed_over() -> None:
    taking = Taking(SERVICES)
    assert catalogue.full_name("sales.demand.changed") not in taking.types
    assert not list(taking.entries(Recorded(1, Event(id="1", source="s", type="com.example.other"))))


@pytest.mark.parametrize("service", SERVICES, ids=lambda service: str(service.name))
def test_a_declaration_names_what_the_catalogue_has(service: Service) -> None:
    for type_, reads in service.types.items():
        assert catalogue.get(type_).domain == service.domain
        for path in [path for each in reads for path in (*each.fields.values(), *each.keep)]:
            assert catalogue.has_field(type_, f"data.{path}"), f"{type_}: {path}"
    for suffix, data in service.example:
        assert not catalogue.validate(suffix, data)
    assert service.example
