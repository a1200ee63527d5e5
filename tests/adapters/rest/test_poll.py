"""The polling source against a real server: what comes in, once, and goes on after a restart."""

from __future__ import annotations

import json
from typing import Any

import pytest
from aiohttp import web

from canonical.ports import Outcome
from tests.adapters.rest.peer import Log, Peer, Request, context
from tests.adapters.rest.polled import LEDGER, Ledger, gives, numbers, polled, polling
from tests.waiting import eventually


async def test_elements_become_messages_once() -> None:
    value = {"value": [{"id": 1, "qty": 2}, {"id": 2, "qty": 3}]}
    async with Peer(answer=gives(value)) as peer:
        async with polling(peer.url, path="orders", items="payload.value", id="item.id") as taken:
            await polled(peer, 3)
            assert taken.bodies == value["value"]  # the same answer brings nothing new
            value["value"].append({"id": 3, "qty": 4})
            await eventually(lambda: len(taken.messages) >= 5)
        message = taken.messages[0]
        assert [raw.id for raw in taken.messages] == ["1", "2", "1", "2", "3"]
        assert (message.adapter, message.content_type) == ("erp", "application/json")
        assert message.attributes == {"path": "/orders"}
        assert peer.requests[0].target == "/orders"
        assert peer.requests[0].headers["Accept-Encoding"] == "gzip"


async def test_the_whole_body_with_its_content_type() -> None:
    answer = web.Response(text="a;b\n1;2\n", content_type="text/csv", charset="iso-8859-1")
    async with Peer(answer=lambda _: _copy(answer)) as peer, polling(peer.url) as taken:
        await polled(peer, 3)
        (message,) = taken.messages
    assert (message.body, message.content_type) == (b"a;b\n1;2\n", "text/csv; charset=iso-8859-1")


def _copy(answer: web.Response) -> web.Response:
    return web.Response(body=answer.body, headers=answer.headers)


async def test_unchanged_pages_are_not_sent_again() -> None:
    def conditional(request: Request) -> web.Response:
        if request.headers.get("If-None-Match") == '"v1"':
            assert request.headers["If-Modified-Since"] == "Wed, 21 Oct 2015 07:28:00 GMT"
            return web.Response(status=304)
        return gives([1], ETag='"v1"', Last_Modified="Wed, 21 Oct 2015 07:28:00 GMT")(request)

    where = context()
    async with Peer(answer=conditional) as peer:
        async with polling(peer.url, where, items="payload") as taken:
            await polled(peer, 3)
            assert taken.bodies == [1]
            assert where.health.connected
        asked = len(peer.requests)
        async with polling(peer.url, context(state=taken.state), items="payload") as again:
            await polled(peer, 1)
        assert not again.messages
        assert peer.requests[asked].headers["If-None-Match"] == '"v1"'


async def test_pages_by_link_header_and_by_expression() -> None:
    def by_link(request: Request) -> web.Response:
        number = int(request.target.rpartition("=")[2]) if "=" in request.target else 1
        link = {"Link": f'</things?page={number + 1}>; rel="next", </x>; rel="last"'} if number < 3 else {}
        return web.json_response([number], headers=link)

    def by_field(request: Request) -> web.Response:
        number = int(request.target.rpartition("=")[2]) if "=" in request.target else 1
        following = {"@odata.nextLink": f"things?page={number + 1}"} if number < 3 else {}
        return web.json_response({"value": [number], **following})

    async with Peer(answer=by_link) as peer, polling(peer.url, path="things", items="payload") as taken:
        await eventually(lambda: taken.bodies[:3] == [1, 2, 3])
        assert [request.target for request in peer.requests[:3]] == [
            "/things",
            "/things?page=2",
            "/things?page=3",
        ]
    following = 'payload[?"@odata.nextLink"].orValue("")'
    async with (
        Peer(answer=by_field) as peer,
        polling(peer.url, path="things", items="payload.value", next=following) as taken,
    ):
        await eventually(lambda: taken.bodies[:3] == [1, 2, 3])


async def test_a_cursor_asks_only_for_what_is_new_also_after_a_restart() -> None:
    ledger = Ledger()
    ledger.entries = 5
    async with Peer(answer=ledger.answer) as peer:
        async with polling(peer.url, **LEDGER) as taken:
            await eventually(lambda: len(taken.messages) == 5)
            ledger.entries = 7
            await eventually(lambda: len(taken.messages) == 7)
            await polled(peer, 2)
        assert peer.requests[0].target == "/?since=0"
        ledger.entries = 8
        asked = len(peer.requests)
        async with polling(peer.url, context(state=taken.state), **LEDGER) as again:
            await eventually(lambda: again.messages)
        assert numbers(taken) == [1, 2, 3, 4, 5, 6, 7]
        assert numbers(again) == [8]
        assert peer.requests[asked].target == "/?since=7"


async def test_a_poll_has_a_bound_of_pages_and_the_next_one_goes_on() -> None:
    ledger = Ledger()
    ledger.entries = 9
    async with Peer(answer=ledger.answer) as peer:
        async with polling(peer.url, **LEDGER, max_pages=2, every="10s") as taken:
            await eventually(lambda: len(taken.messages) == 4)
        asked = len(peer.requests)
        assert asked == 2
        async with polling(peer.url, context(state=taken.state), **LEDGER, max_pages=2) as again:
            await eventually(lambda: len(again.messages) == 5)
            await polled(peer, 1)
        assert peer.requests[asked].target == "/?since=0&from=4"
        assert numbers(taken) + numbers(again) == list(range(1, 10))
        assert peer.requests[-1].target == "/?since=9"


async def test_a_kill_amid_the_pages_goes_on_from_the_committed_one() -> None:
    ledger = Ledger()
    ledger.entries = 9
    async with Peer(answer=ledger.answer) as peer:
        async with polling(peer.url, **LEDGER, every="10s") as taken:
            await eventually(lambda: len(taken.messages) == 9)
        committed = taken.batches[1].state  # of two pages, then the hub was killed
        async with polling(peer.url, context(state=committed), **LEDGER) as again:
            await eventually(lambda: len(again.messages) == 5)
    assert numbers(again) == [5, 6, 7, 8, 9]


async def test_the_next_poll_waits_for_the_acknowledgement() -> None:
    ledger = Ledger()
    ledger.entries = 1
    async with Peer(answer=ledger.answer) as peer, polling(peer.url, acknowledges=False, **LEDGER) as taken:
        await eventually(lambda: taken.messages)
        with pytest.raises(AssertionError):
            await eventually(lambda: len(peer.requests) > 1, 0.5)
        await taken.batches[0].ack([Outcome(status="accepted")])
        await polled(peer, 1)
        assert peer.requests[-1].target == "/?since=1"


async def test_what_is_not_acknowledged_for_long_comes_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("adapters.rest.poll._ACK_PATIENCE_S", 0.2)
    ledger, log = Ledger(), Log()
    ledger.entries = 2
    async with (
        Peer(answer=ledger.answer) as peer,
        polling(peer.url, context(log=log), acknowledges=False, **LEDGER) as taken,
    ):
        await eventually(lambda: len(taken.messages) >= 4)
        assert "poll_not_acknowledged" in log.events
    assert {raw.id for raw in taken.messages} == {"1", "2"}


async def test_large_pages_come_in_parts_of_which_the_last_carries_the_state() -> None:
    many = [{"number": number, "text": "x" * 400} for number in range(1200)]
    async with Peer(answer=gives(many)) as peer, polling(peer.url, items="payload") as taken:
        await eventually(lambda: len(taken.messages) == 1200)
    assert [len(batch.messages) for batch in taken.batches] == [500, 500, 200]
    assert [batch.state is not None for batch in taken.batches] == [False, False, True]
    assert taken.bodies == many


async def test_credentials_query_and_body_are_sent() -> None:
    search: dict[str, Any] = {
        "path": "/search?x=1",
        "method": "POST",
        "query": {"page size": "10", "at": "2026-01-01T00:00:00+01:00"},
        "body": {"status": "open"},
        "options": {"token": "tok"},
    }
    async with Peer(answer=gives([])) as peer, polling(f"{peer.url}/api/", **search):
        await polled(peer, 1)
    request = peer.requests[0]
    assert request.method == "POST"
    assert request.target == "/api/search?x=1&page+size=10&at=2026-01-01T00:00:00%2B01:00"
    assert request.headers["Authorization"] == "Bearer tok"
    assert json.loads(request.body) == {"status": "open"}
