"""Nothing is acknowledged before it is durable; what is wrong is kept with its bytes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest

from canonical.errors import Invalid
from canonical.event import Event
from canonical.ports import Inbound, Outcome, RawMessage
from canonical.spec import Health
from deadletter.service import DeadLetters, NotPossible
from router.ingest import Ingest, Intake
from router.journal import Message
from tests.router.rig import SOURCE, Rig, order, running, until

NOW = datetime(2026, 5, 4, 3, 2, 1, tzinfo=UTC)


class NumberDecoder:
    """``{"n": 1}`` → an order; anything else is invalid. Counts in its state."""

    def __init__(self) -> None:
        self.stateful = False

    def decode(self, state: bytes | None, raw: RawMessage) -> tuple[bytes | None, Iterable[Event | Invalid]]:
        if self.stateful:
            state = str(int(state or b"0") + 1).encode()
        try:
            number = msgspec.json.decode(raw.body)["n"]
            known = order(number, f"o{number % 3}", msgspec.json.decode(raw.body).get("item", "A-1"))
        except (msgspec.DecodeError, KeyError, TypeError) as error:
            return state, [Invalid(f"not a number message: {error}", errors=[("/n", "is missing")])]
        return state, [msgspec.structs.replace(known, partitionkey=None, srcmsgid=None, plantid=None)]


class Counted:
    def __init__(self) -> None:
        self.outcomes: list[Outcome] = []

    def ingested(self, adapter: str, messages: Sequence[Message], outcomes: Sequence[Outcome]) -> None:
        self.outcomes += outcomes


class ListSource:
    """Yields given batches and notes what was acknowledged when."""

    def __init__(self, batches: Sequence[Sequence[RawMessage]], rig: Rig) -> None:
        self.batches, self.rig = batches, rig
        self.acknowledged: list[tuple[int, list[str]]] = []

    async def open(self) -> None: ...

    async def receive(self) -> AsyncIterator[Inbound]:
        for number, batch in enumerate(self.batches):

            async def ack(outcomes: Sequence[Outcome], number: int = number) -> None:
                found, _ = await self.rig.journal.events(0)
                durable = {item.position for item in found}
                assert all(position in durable for outcome in outcomes for position in outcome.positions)
                self.acknowledged.append((number, [outcome.status for outcome in outcomes]))

            yield Inbound(messages=batch, ack=ack, state=f"cursor-{number}".encode())

    async def close(self) -> None: ...


def raw(body: bytes, identifier: str) -> RawMessage:
    return RawMessage(adapter="mes", id=identifier, body=body, received_at=NOW, attributes={"topic": "t"})


def ingest_of(rig: Rig, decoder: NumberDecoder) -> tuple[Ingest, Counted]:
    counted = Counted()
    built = Ingest(rig.journal, counted, lambda: NOW, rig.log)
    built.add(Intake(name="mes", source=SOURCE, plant="aachen", decoder=decoder, health=Health()))
    return built, counted


async def test_batches_are_acknowledged_after_their_commit_with_their_outcomes(tmp_path: Path) -> None:
    async with running(tmp_path) as rig:
        taken, counted = ingest_of(rig, NumberDecoder())
        source = ListSource(
            [
                [raw(b'{"n": 1}', "a"), raw(b"rubbish", "b")],
                [raw(b'{"n": 1}', "a"), raw(b'{"n": 1, "item": "B"}', "c")],
            ],
            rig,
        )
        await taken.run("mes", source)
        assert source.acknowledged == [(0, ["accepted", "invalid"]), (1, ["duplicate", "conflict"])]
        assert len(counted.outcomes) == 4
        assert await rig.journal.states("mes") == {"source": b"cursor-1"}
        conflict, invalid = await rig.letters()
        assert (invalid.body, invalid.code, invalid.errors) == (
            b"rubbish",
            "invalid",
            (("/n", "is missing"),),
        )
        assert invalid.attributes == {"topic": "t"}
        assert (conflict.code, conflict.body) == ("conflict", b'{"n": 1, "item": "B"}')
        notices = [item.event for item in (await rig.journal.events(1))[0]]
        assert {notice.type for notice in notices} == {"com.crossplant.integration.message.dead_lettered.v1"}


class BulkNumberDecoder(NumberDecoder):
    """Many at once, unless one of them is odd; ``broken``: it raises instead."""

    def __init__(self, *, broken: bool = False) -> None:
        super().__init__()
        self.broken = broken

    def decode_all(self, raws: Sequence[RawMessage]) -> list[Event] | None:
        if self.broken:
            raise RuntimeError("at its end")
        if any(each.body == b"rubbish" for each in raws):
            return None
        return [
            msgspec.structs.replace(order(at, f"o{at % 3}"), id=each.id, srcmsgid=each.id, recordedtime=NOW)
            for at, each in enumerate(raws)
        ]


@pytest.mark.parametrize("broken", [False, True])
async def test_an_odd_message_among_many_ends_alone(tmp_path: Path, *, broken: bool) -> None:
    bodies = [b"rubbish" if n == 130 else b'{"n": %d}' % n for n in range(250)]
    async with running(tmp_path) as rig:
        taken, _ = ingest_of(rig, BulkNumberDecoder(broken=broken))
        outcomes = await taken.submit("mes", [raw(body, f"{n:06d}") for n, body in enumerate(bodies)])
        assert [at for at, outcome in enumerate(outcomes) if outcome.status != "accepted"] == [130]
        [letter] = await rig.letters()
        assert (letter.message_id, letter.body) == ("000130", b"rubbish")
        events = [item.event for item in (await rig.journal.events(0))[0]]
        assert len({event.id for event in events}) == 249 + 1  # and the notice


async def test_the_envelope_is_completed(tmp_path: Path) -> None:
    async with running(tmp_path) as rig:
        taken, _ = ingest_of(rig, NumberDecoder())
        await taken.submit("mes", [raw(b'{"n": 4}', "a")])
        event = (await rig.journal.events(0))[0][0].event
        assert (event.plantid, event.partitionkey, event.srcmsgid) == ("aachen", "O:o1", "a")
        assert event.recordedtime == NOW


async def test_the_same_refused_message_again_is_one_dead_letter(tmp_path: Path) -> None:
    async with running(tmp_path) as rig:
        taken, _ = ingest_of(rig, NumberDecoder())
        for _ in range(2):
            await taken.submit("mes", [raw(b"rubbish", "same")])
        [letter] = await rig.letters()
        assert letter.attempts == 2


async def test_a_decoders_state_commits_with_its_batch(tmp_path: Path) -> None:
    decoder = NumberDecoder()
    decoder.stateful = True
    async with running(tmp_path) as rig:
        taken, _ = ingest_of(rig, decoder)
        await asyncio.gather(*(taken.submit("mes", [raw(b'{"n": %d}' % n, f"m{n}")]) for n in range(20)))
        assert await rig.journal.states("mes") == {"decoder": b"20"}


class Nowhere:
    """Redelivers messages only."""

    def __init__(self, taken: Ingest) -> None:
        self.taken = taken

    async def message(self, raw: RawMessage) -> Outcome:
        return (await self.taken.submit(raw.adapter, [raw]))[0]

    async def release(self, route: str, key: str) -> int:
        raise LookupError(route)

    async def discard(self, route: str, key: str, position: int) -> None: ...


async def test_a_refused_message_is_taken_in_again_when_its_decoder_understands_it(tmp_path: Path) -> None:
    acts: list[tuple[str, str]] = []
    decoder = NumberDecoder()
    async with running(tmp_path) as rig:
        taken, _ = ingest_of(rig, decoder)
        service = DeadLetters(
            rig.journal,
            Nowhere(taken),
            lambda transaction, actor, act, subject, details: acts.append((actor, act)),
            lambda: NOW,
        )
        await taken.submit("mes", [raw(b"rubbish", "x")])
        [letter] = await service.page({"status": "open"})
        again = await service.retry(letter.id, by="ada")
        assert (again.status, again.attempts) == ("open", 2)

        class Tolerant(NumberDecoder):
            def decode(
                self, state: bytes | None, raw: RawMessage
            ) -> tuple[bytes | None, Iterable[Event | Invalid]]:
                return state, [order(99, "o")]

        taken.redecode("mes", Tolerant())
        recovered = await service.retry(letter.id, by="ada")
        assert (recovered.status, recovered.resolved_by) == ("recovered", "ada")
        with pytest.raises(NotPossible, match="is recovered"):
            await service.discard(letter.id, by="ada", reason="too late")
        with pytest.raises(LookupError):
            await service.show(4711)
        assert acts == [("ada", "dead_letter.retry")] * 2


async def test_discarding_needs_a_reason_and_says_who(tmp_path: Path) -> None:
    async with running(tmp_path) as rig:
        taken, _ = ingest_of(rig, NumberDecoder())
        service = DeadLetters(rig.journal, Nowhere(taken), lambda *_: None, lambda: NOW)
        await taken.submit("mes", [raw(b"rubbish", "x")])
        [letter] = await service.page({})
        with pytest.raises(NotPossible, match="reason"):
            await service.discard(letter.id, by="ada", reason=" ")
        done = await service.discard(letter.id, by="ada", reason="a test message")
        assert (done.status, done.reason, done.resolved_by) == ("discarded", "a test message", "ada")


async def test_a_full_disk_holds_a_source_back_until_there_is_room(tmp_path: Path) -> None:
    async with running(tmp_path) as rig:
        taken, _ = ingest_of(rig, NumberDecoder())
        await taken.submit("mes", [raw(b'{"n": 0}', "first")])
        [(pages,)] = await rig.journal.write(lambda t: t.execute("PRAGMA page_count"))
        await rig.journal.write(lambda t: t.execute(f"PRAGMA max_page_count = {pages}"))
        big = [raw(b'{"n": %d, "text": "%s"}' % (n, b"x" * 5000), f"m{n}") for n in range(1, 21)]
        source = ListSource([big], rig)
        running_source = asyncio.create_task(taken.run("mes", source))
        await asyncio.sleep(0.1)
        assert not source.acknowledged
        await rig.journal.write(lambda t: t.execute("PRAGMA max_page_count = 100000"))
        await until(lambda: source.acknowledged)
        await running_source
        assert source.acknowledged == [(0, ["accepted"] * 20)]
