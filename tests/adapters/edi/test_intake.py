"""Interchanges on their way into a real journal: what is accepted, refused, or known already."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from zoneinfo import ZoneInfo

from adapters.edi import EDIFACT
from canonical.ports import Outcome, RawMessage
from canonical.spec import FormatContext, Health
from router.ingest import Ingest, Intake
from router.journal import Message
from tests.adapters.edi.samples import FOLDER, RECEIVED
from tests.router.rig import Rig, running

SOURCE = "/partners/nordstahl/adapters/inbox"


class Silent:
    def ingested(self, adapter: str, messages: Sequence[Message], outcomes: Sequence[Outcome]) -> None: ...


def ingest_of(rig: Rig) -> Ingest:
    assert EDIFACT.decoder is not None
    context = FormatContext(
        adapter="inbox", source=SOURCE, plant=None, partner="nordstahl", timezone=ZoneInfo("UTC")
    )
    decoder = EDIFACT.decoder(EDIFACT.config(), context)
    built = Ingest(rig.journal, Silent(), lambda: RECEIVED, rig.log)
    built.add(Intake(name="inbox", source=SOURCE, plant=None, decoder=decoder, health=Health()))
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


async def test_a_file_is_taken_once_however_often_it_comes(tmp_path: Path) -> None:
    async with running(tmp_path) as rig:
        taken = ingest_of(rig)
        (first,) = await taken.submit("inbox", [file("orders-d96a", "a")])
        (again,) = await taken.submit("inbox", [file("orders-d96a", "b")])
        assert (first.status, len(first.positions), again.status) == ("accepted", 2, "duplicate")
        assert len(await events(rig)) == 2
        assert await rig.letters() == []


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


async def test_other_data_under_the_same_reference_is_a_conflict_not_an_overwrite(tmp_path: Path) -> None:
    async with running(tmp_path) as rig:
        taken = ingest_of(rig)
        first = file("orders-d96a", "a")
        await taken.submit("inbox", [first])
        other = RawMessage(
            adapter="inbox",
            id="b",
            body=first.body.replace(b"QTY+21:120", b"QTY+21:999"),
            received_at=RECEIVED,
        )
        (outcome,) = await taken.submit("inbox", [other])
        assert outcome.status == "conflict"
        assert len(await events(rig)) == 2
        (letter,) = await rig.letters()
        assert letter.code == "conflict"
