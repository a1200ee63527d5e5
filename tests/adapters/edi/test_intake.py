"""Interchanges on their way into a real journal: what is accepted, refused, or known already."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import apsw
import pytest
from msgspec import structs

from adapters.edi import EDIFACT
from canonical.ledger import FileEntry
from canonical.ports import Decoder, Outcome, RawMessage, Transaction
from canonical.spec import FormatContext, Health
from router.ingest import Ingest, Intake
from router.journal import Message
from tests.adapters.edi.samples import FOLDER, RECEIVED
from tests.router.rig import Rig, running

SOURCE = "/partners/nordstahl/adapters/inbox"


class Silent:
    def ingested(self, adapter: str, messages: Sequence[Message], outcomes: Sequence[Outcome]) -> None: ...


def decoder(**options: Any) -> Decoder:
    assert EDIFACT.decoder is not None
    context = FormatContext(
        adapter="inbox", source=SOURCE, plant=None, partner="nordstahl", timezone=ZoneInfo("UTC")
    )
    return EDIFACT.decoder(EDIFACT.config(**options), context)


def ingest_of(rig: Rig) -> Ingest:
    built = Ingest(rig.journal, Silent(), lambda: RECEIVED, rig.log)
    built.add(Intake(name="inbox", source=SOURCE, plant=None, decoder=decoder(), health=Health()))
    return built


def file(name: str, message: str) -> RawMessage:
    body = (FOLDER / name / "input.edi").read_bytes()
    return RawMessage(adapter="inbox", id=message, body=body, received_at=RECEIVED)


async def events(rig: Rig) -> list[tuple[str, str]]:
    found, _ = await rig.journal.events(0)
    return [
        (item.event.type.removeprefix("com.crossplant."), item.event.id)
        for item in found
        if not item.event.type.endswith("dead_lettered.v1")
    ]


async def told(rig: Rig) -> list[tuple[str, list[str]]]:
    """(outcome, codes of its findings) of each interchange event."""
    found, _ = await rig.journal.events(0)
    return [
        (item.event.data["outcome"], [one["code"] for one in item.event.data.get("findings", ())])
        for item in found
        if item.event.type.endswith("interchange.received.v1")
    ]


async def orders(rig: Rig) -> int:
    return sum(kind == "procurement.order.issued.v1" for kind, _ in await events(rig))


def with_body(name: str, message: str, *changes: tuple[bytes, bytes]) -> RawMessage:
    raw = file(name, message)
    body = raw.body
    for old, new in changes:
        assert old in body
        body = body.replace(old, new)
    return structs.replace(raw, body=body)


async def test_an_interchange_is_taken_once_and_every_repetition_is_told(tmp_path: Path) -> None:
    async with running(tmp_path) as rig:
        taken = ingest_of(rig)
        (first,) = await taken.submit("inbox", [file("orders-d96a", "a")])
        (again,) = await taken.submit("inbox", [file("orders-d96a", "b")])
        (third,) = await taken.submit("inbox", [file("orders-d96a", "c")])
        assert (first.status, len(first.positions)) == ("accepted", 2)
        assert [again.status, third.status] == ["duplicate", "duplicate"]
        assert again.positions == third.positions == first.positions[:1]
        assert [outcome for outcome, _ in await told(rig)] == ["accepted", "duplicate", "duplicate"]
        assert (await told(rig))[1][1][-1] == "interchange_repeated"
        assert await orders(rig) == 1
        assert await rig.letters() == []


async def test_what_the_transport_brings_again_is_no_repetition(tmp_path: Path) -> None:
    async with running(tmp_path) as rig:
        taken = ingest_of(rig)
        await taken.submit("inbox", [file("orders-d96a", "a")])
        (again,) = await taken.submit("inbox", [file("orders-d96a", "a")])
        assert again.status == "duplicate"
        await taken.submit("inbox", [file("orders-d96a", "b")])
        await taken.submit("inbox", [file("orders-d96a", "b")])
        assert [outcome for outcome, _ in await told(rig)] == ["accepted", "duplicate"]


async def test_the_ledger_outlives_the_identities_and_the_process(tmp_path: Path) -> None:
    async with running(tmp_path) as rig:
        await ingest_of(rig).submit("inbox", [file("orders-d96a", "a")])
        await rig.journal.write(_forget_identities)
    async with running(tmp_path) as rig:
        (again,) = await ingest_of(rig).submit("inbox", [file("orders-d96a", "b")])
        assert again.status == "duplicate"
        assert [outcome for outcome, _ in await told(rig)] == ["accepted", "duplicate"]
        assert await orders(rig) == 1


def _forget_identities(transaction: Transaction) -> None:
    named = transaction.execute("SELECT name FROM sqlite_master WHERE name GLOB 'identities_[0-9]*'")
    for (name,) in named:
        transaction.execute(f"DELETE FROM {name}")


async def test_another_adapter_that_brings_it_makes_no_second_one(tmp_path: Path) -> None:
    async with running(tmp_path) as rig:
        taken = ingest_of(rig)
        taken.add(
            Intake(name="spare", source="/adapters/spare", plant=None, decoder=decoder(), health=Health())
        )
        first, again = await asyncio.gather(
            taken.submit("inbox", [file("orders-d96a", "a")]),
            taken.submit("spare", [structs.replace(file("orders-d96a", "b"), adapter="spare")]),
        )
        assert [first[0].status, again[0].status] == ["accepted", "duplicate"]
        assert await orders(rig) == 1


async def test_a_sender_that_stamps_it_anew_sends_the_same_interchange(tmp_path: Path) -> None:
    async with running(tmp_path) as rig:
        taken = ingest_of(rig)
        await taken.submit("inbox", [file("orders-d96a", "a")])
        (again,) = await taken.submit(
            "inbox", [with_body("orders-d96a", "b", (b"260302:0930", b"260302:1745"))]
        )
        (later,) = await taken.submit(
            "inbox", [with_body("orders-d96a", "c", (b"260302:0930", b"310302:0930"))]
        )
        assert [again.status, later.status] == ["duplicate", "accepted"]  # the reference has rolled over
        assert await told(rig) == [
            ("accepted", []),
            ("duplicate", ["interchange_repeated"]),
            ("accepted", []),
        ]


async def test_a_rejected_interchange_is_recorded_and_a_dead_letter_beside_it(tmp_path: Path) -> None:
    async with running(tmp_path) as rig:
        taken = ingest_of(rig)
        (outcome,) = await taken.submit("inbox", [file("one-of-two-interchanges-at-fault", "a")])
        assert outcome.status == "accepted"  # the interchange events, and the order of the sound one
        assert [detail for _, detail in outcome.errors] == [
            "segment_count: UNT says 9, but 8 segments were counted"
        ]
        assert [kind for kind, _ in await events(rig)] == [
            "integration.interchange.received.v1",
            "procurement.order.issued.v1",
            "integration.interchange.received.v1",
        ]
        (letter,) = await rig.letters()
        assert (letter.code, letter.body) == (
            "segment_count",
            file("one-of-two-interchanges-at-fault", "a").body,
        )
        assert letter.errors[0][0] == "segment 19 UNT, line 21, byte 404"


async def test_a_rejected_one_does_not_hold_back_its_correction(tmp_path: Path) -> None:
    async with running(tmp_path) as rig:
        taken = ingest_of(rig)
        (bad,) = await taken.submit("inbox", [with_body("orders-d96a", "a", (b"UNT+22", b"UNT+21"))])
        assert (bad.status, len(bad.positions), bool(bad.dead_letter)) == ("invalid", 1, True)
        (worse,) = await taken.submit("inbox", [with_body("orders-d96a", "b", (b"UNT+22", b"UNT+20"))])
        (good,) = await taken.submit("inbox", [file("orders-d96a", "c")])
        (again,) = await taken.submit("inbox", [file("orders-d96a", "d")])
        assert [worse.status, good.status, again.status] == ["invalid", "accepted", "duplicate"]
        outcomes = [outcome for outcome, _ in await told(rig)]
        assert outcomes == ["rejected", "rejected", "accepted", "duplicate"]


async def test_one_that_is_mended_in_part_is_refused_for_what_is_left(tmp_path: Path) -> None:
    """A person edits a dead letter and retries it: the answer is about the body as it is now."""
    async with running(tmp_path) as rig:
        taken = ingest_of(rig)
        await taken.submit(
            "inbox", [with_body("orders-d96a", "a", (b"UNT+22", b"UNT+21"), (b"UNZ+1", b"UNZ+7"))]
        )
        (outcome,) = await taken.submit("inbox", [with_body("orders-d96a", "a", (b"UNZ+1", b"UNZ+7"))])
        assert outcome.status == "invalid"
        assert outcome.errors[0][1].startswith("interchange_count: UNZ says 7")
        (letter,) = await rig.letters()
        assert (letter.code, letter.attempts) == ("interchange_count", 2)


async def test_what_was_taken_is_not_rejected_when_it_comes_again(tmp_path: Path) -> None:
    """As when a rule became stricter meanwhile: its sender must not think that it was not processed."""
    async with running(tmp_path) as rig:
        taken = ingest_of(rig)
        lenient = with_body("orders-d96a", "a", (b"UNT+22", b"UNT+21"))
        taken.redecode("inbox", decoder(tolerate=["segment_count"]))
        (first,) = await taken.submit("inbox", [lenient])
        taken.redecode("inbox", decoder())
        (again,) = await taken.submit("inbox", [structs.replace(lenient, id="b")])
        assert [first.status, again.status] == ["accepted", "duplicate"]
        assert [codes[-1] for outcome, codes in await told(rig) if outcome == "duplicate"] == [
            "interchange_repeated"
        ]
        assert await rig.letters() == []


async def test_one_that_is_twice_in_a_file_is_taken_and_told(tmp_path: Path) -> None:
    async with running(tmp_path) as rig:
        raw = file("orders-d96a", "a")
        (outcome,) = await ingest_of(rig).submit("inbox", [structs.replace(raw, body=raw.body * 2)])
        assert (outcome.status, outcome.errors) == ("accepted", ())
        assert [one for one, _ in await told(rig)] == ["accepted", "duplicate"]
        assert await orders(rig) == 1


async def test_other_data_under_the_same_reference_is_told_and_not_processed(tmp_path: Path) -> None:
    async with running(tmp_path) as rig:
        taken = ingest_of(rig)
        await taken.submit("inbox", [file("orders-d96a", "a")])
        other = with_body("orders-d96a", "b", (b"QTY+21:120", b"QTY+21:999"))
        (outcome,) = await taken.submit("inbox", [other])
        assert outcome.status == "duplicate"
        assert (await told(rig))[1] == ("duplicate", ["interchange_differs"])
        assert await orders(rig) == 1


async def test_a_person_retries_what_was_rejected_in_a_file_of_several(tmp_path: Path) -> None:
    async with running(tmp_path) as rig:
        taken = ingest_of(rig)
        raw = file("one-of-two-interchanges-at-fault", "a")
        entry = FileEntry(path="/in/a.edi", size_bytes=1, changed_ns=1, sha256=b"1")
        await taken.submit("inbox", [raw], files=[entry])
        taken.redecode("inbox", decoder(tolerate=["segment_count"]))
        (put_back,) = await taken.submit("inbox", [raw], files=[entry])
        assert put_back.status == "duplicate"  # the file as such was taken
        (retried,) = await taken.submit("inbox", [raw])
        assert (retried.status, retried.errors) == ("accepted", ())
        assert [outcome for outcome, _ in await told(rig)] == ["accepted", "rejected", "accepted"]
        assert await orders(rig) == 2


async def test_a_rejected_file_that_is_put_back_is_read_again(tmp_path: Path) -> None:
    async with running(tmp_path) as rig:
        taken = ingest_of(rig)
        raw = with_body("orders-d96a", "a", (b"UNT+22", b"UNT+21"))
        entry = FileEntry(path="/in/a.edi", size_bytes=1, changed_ns=1, sha256=b"1")
        (bad,) = await taken.submit("inbox", [raw], files=[entry])
        taken.redecode("inbox", decoder(tolerate=["segment_count"]))
        (good,) = await taken.submit("inbox", [raw], files=[entry])
        (again,) = await taken.submit("inbox", [raw], files=[entry])
        assert [bad.status, good.status, again.status] == ["invalid", "accepted", "duplicate"]
        rows = await rig.journal.read(lambda t: t.execute("SELECT outcome, arrivals FROM files"))
        assert rows == [("accepted", 3)]


async def test_files_and_interchanges_have_their_rows_or_nothing_has(tmp_path: Path) -> None:
    """The ledgers are written with the events: a batch that fails leaves no row."""
    async with running(tmp_path) as rig:
        taken = ingest_of(rig)
        entry = FileEntry(path="/in/a.edi", size_bytes=1, changed_ns=1, sha256=b"1")
        await rig.journal.write(lambda t: t.execute("ALTER TABLE dead_letters RENAME TO away"))
        with pytest.raises(apsw.SQLError, match="dead_letters"):
            await taken.submit("inbox", [file("one-of-two-interchanges-at-fault", "a")], files=[entry])
        await rig.journal.write(lambda t: t.execute("ALTER TABLE away RENAME TO dead_letters"))
        rows = await rig.journal.read(
            lambda t: t.execute("SELECT message FROM files UNION ALL SELECT message FROM interchanges")
        )
        assert rows == []
        (outcome,) = await taken.submit(
            "inbox", [file("one-of-two-interchanges-at-fault", "a")], files=[entry]
        )
        assert (outcome.status, len(outcome.positions)) == ("accepted", 3)
