"""What is over with a delivery that is discarded: its place, how far it had got, and the number it had."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from msgspec import json

from canonical.errors import Rejected
from canonical.expression import PART_VARIABLES, FieldMap
from canonical.ports import Accepted, Delivery, Failed, SinkOutcome
from canonical.spec import SinkTraits
from deadletter import store
from gateway import audit
from router.numbering import NumberedSink, Unnumbered
from router.outgoing import Outgoing
from router.splitting import SplitSink, Splitting
from tests.gateway.hubs import Gate, event, opened, order_data
from tests.router.rig import ScriptedSink, order, route, running, until
from tests.router.test_numbering import Letters
from tests.waiting import eventually

TRAITS = SinkTraits(concurrency=4)


@pytest.fixture
async def gate(tmp_path: Path) -> AsyncIterator[Gate]:
    async with opened(tmp_path / "data") as opened_gate:
        yield opened_gate


def refusing(what: bytes) -> ScriptedSink:
    """A sink that refuses whatever has these bytes in it."""

    def behave(delivery: Delivery) -> SinkOutcome:
        return Failed(Rejected("no such item")) if what in delivery.payload else Accepted("ok")

    return ScriptedSink(behave)


async def discard(gate: Gate) -> None:
    """Waits for the dead letter, and discards it as people do."""
    operator = await gate.client("operator")

    async def there() -> bool:
        return bool((await operator.get("/v1/dead-letters")).json()["items"])

    await eventually(there)
    done = await operator.post("/v1/dead-letters/1/discard", json={"reason": "sent by hand"})
    assert done.json()["status"] == "discarded", done.text


async def free(gate: Gate) -> bool:
    """Whether no lane is left."""
    return not await gate.hub.journal.read(lambda t: t.execute("SELECT 1 FROM lanes"))


async def test_the_audit_names_the_reference_that_is_never_sent(gate: Gate) -> None:
    sink = refusing(b"O-2")
    outgoing = Outgoing(gate.hub.journal, gate.hub.clock)
    over = NumberedSink(sink, "orders", Letters(), outgoing)
    fields = FieldMap({"text": "data.order"})
    await gate.route(route(formatter=Unnumbered(Letters()), fields=fields), over, TRAITS)
    await gate.record(event(1), event(2), event(3))
    await eventually(lambda: len(sink.accepted) == 2)
    await discard(gate)
    await eventually(lambda: free(gate))
    assert [one.payload.partition(b"|")[0] for one in sink.accepted] == [b"1", b"3"]
    [entry] = await audit.page(gate.hub.journal, act="interchange.given_up")
    assert (entry.actor, entry.subject) == ("test 0", "interchange/x12/US/THEM/2")
    assert entry.details == {"dead_letter": 1, "route": "orders", "reason": "sent by hand"}
    assert (await gate.hub.audit.verify(gate.hub.journal))["findings"] == []


async def test_a_delivery_without_a_number_leaves_one_row_in_the_audit(gate: Gate) -> None:
    await gate.route(route(), refusing(b"O-1"))
    await gate.record(event(1))
    await discard(gate)
    entries = await audit.page(gate.hub.journal, actor="test 0")
    assert [entry.act for entry in entries] == ["dead_letter.discard"]


async def test_how_far_a_split_document_had_got_is_forgotten(gate: Gate) -> None:
    fields = FieldMap({"line": "item.n"}, PART_VARIABLES)
    sink = refusing(json.encode({"line": 3}))
    over = SplitSink(sink, "orders", TRAITS, gate.hub.journal, limited=False)
    await gate.route(route(split=Splitting("data.lines"), fields=fields), over, TRAITS)
    await gate.record(event(1, data=order_data(lines=[{"n": n} for n in range(1, 5)])))

    async def kept() -> list[Any]:
        rows = await gate.hub.journal.read(lambda t: t.execute("SELECT route, done FROM split_progress"))
        return [*rows]

    await eventually(kept)
    assert await kept() == [("orders", 2)]
    await discard(gate)
    assert await kept() == []
    await eventually(lambda: free(gate))
    assert len(sink.accepted) == 2


async def test_a_crash_right_after_a_discard_leaves_no_key_blocked(tmp_path: Path) -> None:
    async with running(tmp_path) as rig:
        engine = await rig.start(route(), refusing(b'"number":2'))
        await rig.append(*(order(n, "same") for n in (1, 2, 3)))
        await until(lambda: engine.status.cursor >= 3)
        [letter] = await rig.letters()
        await rig.journal.write(
            lambda t: store.resolve(t, letter.id, "discarded", at=time.time(), by="ada", reason="wrong")
        )
    again = ScriptedSink()
    async with running(tmp_path) as rig:
        await rig.start(route(), again)
        await until(rig.clear)
    assert again.numbers == [3]
