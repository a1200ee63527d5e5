"""Control references: one per delivery, in order, without a gap, whatever happens in between."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from msgspec import json

from canonical.errors import Invalid, TransientError
from canonical.ledger import Control
from canonical.ports import Accepted, Delivery, Failed, NotTried, SinkOutcome, Unknown
from router.numbering import NumberedSink, Unnumbered
from router.outgoing import Outgoing
from tests.router.rig import Rig, order, running

PREPARED = datetime(2026, 3, 2, 9, 30, 15, tzinfo=UTC)


class Letters:
    """``reference|prepared_at|text``; a text that begins with ! has no form."""

    content_type = "text/plain"

    def __init__(self, highest: int = 999, due_s: float | None = None) -> None:
        self.highest, self.due_s = highest, due_s

    def control(self, payload: Any) -> Control:
        return Control(
            standard="x12",
            sender="US",
            receiver=payload.get("to", "THEM"),
            highest=self.highest,
            reference=payload.get("reference", ""),
            answer_due_s=self.due_s,
        )

    def format(self, payload: Any) -> bytes:
        raise AssertionError("numbered formatters are asked for interchanges")

    def interchange(self, payload: Any, reference: str, prepared_at: datetime) -> bytes:
        if payload["text"].startswith("!"):
            raise Invalid("no form")
        return f"{reference}|{prepared_at:%H%M%S}|{payload['text']}".encode()


class Post:
    """Keeps what it was sent; the outcomes are those that a test sets, else accepted."""

    def __init__(self) -> None:
        self.sent: list[str] = []
        self.outcomes: list[SinkOutcome] = []

    async def open(self) -> None: ...

    async def close(self) -> None: ...

    async def send(self, deliveries: Sequence[Delivery]) -> Sequence[SinkOutcome]:
        self.sent += [delivery.payload.decode() for delivery in deliveries]
        found, self.outcomes = self.outcomes, []
        return [*found, *([Accepted("r")] * (len(deliveries) - len(found)))]

    async def lookup(self, delivery: Delivery) -> Accepted | Failed | None:
        return Accepted("known") if delivery.payload.decode() in self.sent else None


def delivery(number: int, text: str = "text", **more: str) -> Delivery:
    return Delivery(
        event=order(number, f"o{number}"),
        payload=Unnumbered(Letters()).format({"text": text, **more}),
        content_type="text/plain",
        key=f"o{number}",
        idempotency_key=f"orders:{number}",
    )


def sink_of(rig: Rig, post: Post, formatter: Letters | None = None) -> NumberedSink:
    clock = iter([PREPARED.replace(minute=minute) for minute in range(60)])
    return NumberedSink(post, "orders", formatter or Letters(), Outgoing(rig.journal, lambda: next(clock)))


async def test_each_delivery_gets_the_next_reference_of_its_partner(tmp_path: Path) -> None:
    post = Post()
    async with running(tmp_path) as rig:
        sink = sink_of(rig, post)
        await sink.send([delivery(1), delivery(2), delivery(3, to="OTHER")])
    async with running(tmp_path) as rig:
        await sink_of(rig, post).send([delivery(4)])
    assert [text.partition("|")[0] for text in post.sent] == ["1", "2", "1", "3"]


async def test_every_attempt_sends_the_same_bytes(tmp_path: Path) -> None:
    post = Post()
    async with running(tmp_path) as rig:
        post.outcomes = [Unknown(TransientError("no answer"))]
        assert isinstance((await sink_of(rig, post).send([delivery(1)]))[0], Unknown)
        await sink_of(rig, post).send([delivery(2)])
    async with running(tmp_path) as rig:
        assert await sink_of(rig, post).lookup(delivery(1)) == Accepted("known")
        await sink_of(rig, post).send([delivery(1)])
    assert post.sent[0] == post.sent[2] == "1|090015|text"
    assert post.sent[1].startswith("2|")


async def test_a_payload_without_a_form_uses_no_reference_up(tmp_path: Path) -> None:
    post = Post()
    async with running(tmp_path) as rig:
        sink = sink_of(rig, post)
        outcomes = await sink.send([delivery(1), delivery(2, "!"), delivery(3)])
        assert [type(outcome) for outcome in outcomes] == [Accepted, Failed, NotTried]
        await sink.send([delivery(3)])
        await sink.send([delivery(2, "mended")])
    assert [text.partition("|")[0] for text in post.sent] == ["1", "2", "3"]


async def test_what_was_mended_goes_out_under_the_reference_that_it_had(tmp_path: Path) -> None:
    post = Post()
    async with running(tmp_path) as rig:
        sink = sink_of(rig, post)
        post.outcomes = [Failed(Invalid("a wrong price"))]
        await sink.send([delivery(1, "wrong")])
        await sink.send([delivery(2)])
        await sink.send([delivery(1, "right")])
    assert [text.rpartition("|")[0][:1] + text.rpartition("|")[2] for text in post.sent] == [
        "1wrong",
        "2text",
        "1right",
    ]


async def test_many_at_once_leave_no_gap_and_share_no_reference(tmp_path: Path) -> None:
    post = Post()
    async with running(tmp_path) as rig:
        outgoing = Outgoing(rig.journal, lambda: PREPARED)
        sinks = [NumberedSink(post, f"route{at}", Letters(), outgoing) for at in range(2)]
        sends = [sinks[number % 2].send([delivery(number)]) for number in range(40)]
        await asyncio.gather(*sends)
    assert sorted(int(text.partition("|")[0]) for text in post.sent) == list(range(1, 41))


async def test_references_roll_over_at_the_largest(tmp_path: Path) -> None:
    post = Post()
    async with running(tmp_path) as rig:
        sink = sink_of(rig, post, Letters(highest=3))
        await sink.send([delivery(number) for number in range(5)])
    assert [text.partition("|")[0] for text in post.sent] == ["1", "2", "3", "1", "2"]


async def test_a_reference_that_the_payload_tells_is_not_counted(tmp_path: Path) -> None:
    post = Post()
    async with running(tmp_path) as rig:
        await sink_of(rig, post).send([delivery(1, reference="77"), delivery(2)])
    assert [text.partition("|")[0] for text in post.sent] == ["77", "1"]


async def test_an_acknowledgement_is_waited_for_from_when_the_partner_has_it(tmp_path: Path) -> None:
    post = Post()
    async with running(tmp_path) as rig:
        sink = sink_of(rig, post, Letters(due_s=60.0))
        post.outcomes = [Failed(TransientError("away", outage=True))]
        await sink.send([delivery(1)])
        rows = await rig.journal.read(lambda t: t.execute("SELECT sent_at, due_at FROM interchanges_sent"))
        assert rows == [(None, None)]
        await sink.send([delivery(1)])
        ((sent_at, due_at),) = await rig.journal.read(
            lambda t: t.execute("SELECT sent_at, due_at FROM interchanges_sent")
        )
        assert due_at == sent_at + 60.0


async def test_a_sink_that_says_too_little_leaves_the_rest_unknown(tmp_path: Path) -> None:
    class Silent(Post):
        async def send(self, deliveries: Sequence[Delivery]) -> Sequence[SinkOutcome]:
            await super().send(deliveries)
            return [Accepted("r")]

    async with running(tmp_path) as rig:
        outcomes = await sink_of(rig, Silent()).send([delivery(1), delivery(2), delivery(3, "!")])
    assert outcomes == [Accepted("r")]


@pytest.mark.parametrize("payload", [{"text": "a"}, {"text": "ü", "n": 1.5, "deep": {"list": [1, None]}}])
def test_the_payload_comes_through_as_it_was(payload: dict[str, Any]) -> None:
    assert json.decode(Unnumbered(Letters()).format(payload)) == payload
