"""A supplier with EDI: it answers orders, ships, and holds us to our answers."""

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from simulator.edifact import Edifact
from simulator.ledger import Document, Ledger
from simulator.moments import Moments
from simulator.partner import Partner
from simulator.shift import Shift
from simulator.story import SUPPLIERS, Rhythm, Turn
from tests.simulator.fakehub import event
from tests.waiting import eventually

NEVER = 1e6
SUPPLIER = SUPPLIERS[0]


def order(number: int) -> str:
    return (
        "UNA:+.? 'UNB+UNOC:3+4060000000017:14+4012345000009:14+260302:0930+"
        f"{number}'UNH+1+ORDERS:D:96A:UN'BGM+220+45{number:06}+9'LIN+1++PLATE:IN'PIA+1+NS-S235-8:SA'"
        f"QTY+21:40:KGM'UNS+S'UNT+7+1'UNZ+1+{number}'"
    )


@dataclass
class Works:
    """The supplier at work, its ledger, and what the hub would do with its mailbox."""

    partner: Partner
    ledger: Ledger
    folder: Path
    shift: Shift

    def put(self, name: str, text: str) -> None:
        (self.folder / "in" / name).write_text(text)

    def answer(self, reference: str, verdict: str) -> None:
        self.put(
            f"contrl_{reference}_{verdict.replace('+', '-')}.edi",
            f"UNB+UNOC:3+A:14+B:14+260302:0930+1'UNH+1+CONTRL:D:3:UN'UCI+{reference}+B:14+A:14+{verdict}'"
            "UNT+3+1'UNZ+1+1'",
        )

    def out(self, begins: str) -> list[Path]:
        return sorted((self.folder / "out").glob(f"{begins}*.edi"))

    def take(self, begins: str) -> list[str]:
        """Moves the files away, as whoever has them safe; their names."""
        found = self.out(begins)
        for file in found:
            file.rename(self.folder / "out" / "archive" / file.name)
        return [file.name for file in found]


Begin = Callable[..., Works]


@pytest.fixture
async def begin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Begin]:
    """Starts a supplier whose shipments go as told, one after the other."""
    started: list[tuple[Shift, asyncio.Task[None]]] = []
    for folder in ("in", "out", "out/archive"):
        (tmp_path / folder).mkdir()

    def start(*turns: Turn, report: float = NEVER) -> Works:
        goes: dict[int, Turn] = dict(enumerate(turns))
        monkeypatch.setattr("simulator.partner.turn", lambda _name, index: goes.get(index, "plain"))
        ledger, shift = Ledger(), Shift()
        rhythm = Rhythm(shipment=0.05, report=report)
        dialect = Edifact(us="4012345000009", them="4060000000017")
        partner = Partner(SUPPLIER, dialect, tmp_path, ledger, Moments(), rhythm)
        shift.begin()
        started.append((shift, asyncio.create_task(partner.work(shift))))
        return Works(partner, ledger, tmp_path, shift)

    yield start
    for shift, task in started:
        shift.end()

        def ended(task: asyncio.Task[None] = task) -> bool:
            for file in (tmp_path / "out").glob("*.edi"):
                file.unlink()
            return task.done()

        await eventually(ended)
        await task


async def test_an_order_is_answered_and_shipped(begin: Begin) -> None:
    works = begin()
    works.put("orders_1.edi", order(1))
    await eventually(lambda: works.out("ack") and works.out("asn"))
    assert "UCI+1+4060000000017:14+4012345000009:14+7'" in works.out("ack")[0].read_text()
    advice = works.out("asn")[0].read_text()
    assert "RFF+ON:45000001:10'" in advice
    assert "LIN+1++NS-S235-8:SA'" in advice
    assert works.partner.references() == {("orders", "45000001")}
    assert works.ledger.safe_total == 0  # nobody has taken it


async def test_what_was_taken_is_safe_and_its_answer_is_owed(begin: Begin) -> None:
    works = begin()
    works.put("orders_1.edi", order(1))
    await eventually(lambda: works.out("asn"))
    works.take("asn")
    await eventually(lambda: works.ledger.safe_total == 2)
    owed = Document(system="nordstahl", kind="answers", reference="NS0000001/accepted", required=True)
    asn = {Document(system=name, kind=f"inbound-{kind}", reference="NSD-10001") for name, kind in IN}
    references = {one.reference for one in works.ledger.undelivered if one.system == "nordstahl"}
    assert references <= {"NS0000001/accepted", "NS0000002/accepted"}
    assert set(works.ledger.undelivered) >= asn
    works.answer("NS0000001", "7")
    works.answer("NS0000002", "7")
    found = works.partner.references()
    assert ("answers", owed.reference) in found
    assert works.partner.report()["unexpected"] == 0


IN = (("erp", "deliveries"), ("tms", "shipments"))


async def test_a_truncated_file_is_sent_again_when_it_was_refused(begin: Begin) -> None:
    works = begin("truncated")
    works.put("orders_1.edi", order(1))
    await eventually(lambda: works.out("asn"))
    (cut,) = works.out("asn")
    assert "UNZ" not in cut.read_text()
    reference = cut.stem.partition("_")[2]
    works.answer(reference, "4+13+UNZ")
    await eventually(lambda: works.out("resent"))
    assert f"UNZ+1+{reference}'" in works.out("resent")[0].read_text()
    assert works.ledger.on_purpose == {"asn_truncated": 1}


async def test_a_file_that_is_sent_twice_is_owed_an_answer_that_says_so(begin: Begin) -> None:
    works = begin("twice")
    works.put("orders_1.edi", order(1))
    await eventually(lambda: works.out("asn-again"))
    first, again = sorted(works.out("asn"), key=lambda file: len(file.name))
    assert first.read_bytes() == again.read_bytes()
    reference = first.stem.partition("_")[2]
    works.take("asn")
    await eventually(lambda: works.ledger.safe_total == 3)
    owed = {one.reference for one in works.ledger.undelivered if one.kind == "answers"}
    assert owed == {f"{reference}/accepted", f"{reference}/duplicate"}


async def test_late_and_unknown_goods_are_in_the_advice(begin: Begin) -> None:
    works = begin("late", "unknown")
    works.put("orders_1.edi", order(1))
    works.put("orders_2.edi", order(2))
    await eventually(lambda: len(works.out("asn")) == 2)
    late, unknown = (file.read_text() for file in works.out("asn"))
    assert SUPPLIER.unknown in unknown
    assert SUPPLIER.unknown not in late
    assert works.ledger.on_purpose == {"asn_late": 1, "asn_unknown": 1}


async def test_the_same_order_again_is_repeated_and_rubbish_is_unexpected(begin: Begin) -> None:
    works = begin()
    works.put("orders_1.edi", order(1))
    works.put("orders_1-again.edi", order(1))
    works.put("rubbish.edi", "no EDI")
    works.put("unfinished.edi.part", order(2))
    await eventually(lambda: works.out("asn"))
    report = works.partner.report()
    assert (report["documents"], report["repeated"], report["unexpected"]) == (1, 1, 1)


async def test_stock_is_reported_by_the_clock(begin: Begin) -> None:
    works = begin(report=0.05)
    await eventually(lambda: works.out("stock"))
    assert "QTY+145:" in works.out("stock")[0].read_text()


def test_an_event_of_an_interchange_is_recognised_by_reference_and_outcome() -> None:
    ledger = Ledger()
    shown = event(
        "nordstahl-inbox",
        "integration.interchange.received",
        {"reference": "NS0000001", "outcome": "accepted"},
    )
    ledger.record_shown(shown)
    assert ledger.unexpected == 1
