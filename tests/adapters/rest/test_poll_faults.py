"""The polling source and servers that fail, lie, or are not there."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable

import pytest
from aiohttp import web

from adapters.conformance.proxy import FaultProxy
from adapters.rest import SPEC
from canonical.errors import ConfigError
from tests.adapters.rest.peer import Log, Peer, Request, context, options
from tests.adapters.rest.polled import LEDGER, Ledger, gives, numbers, polled, polling
from tests.waiting import eventually

BOMB = gzip.compress(b"0" * 20_000_000)


@pytest.mark.usefixtures("impatient")
async def test_a_page_that_is_gone_meanwhile_starts_again_from_the_cursor() -> None:
    ledger = Ledger()
    ledger.entries = 5

    def forgetful(request: Request) -> web.Response:
        return web.Response(status=410) if "from=2" in request.target else ledger.answer(request)

    log = Log()
    async with Peer(answer=forgetful) as peer, polling(peer.url, context(log=log), **LEDGER) as taken:
        await eventually(lambda: len(peer.requests) >= 4)
        assert log.entries[0][1]["code"] == "http_410"
        peer.answer = ledger.answer
        await eventually(lambda: set(numbers(taken)) == {1, 2, 3, 4, 5})
    assert {raw.id for raw in taken.messages} == {"1", "2", "3", "4", "5"}


@pytest.mark.usefixtures("impatient")
async def test_pages_in_a_circle_end() -> None:
    log = Log()
    circle = gives({"items": [1], "next": "/?a=1"})
    async with (
        Peer(answer=circle) as peer,
        polling(peer.url, context(log=log), items="payload.items", next="payload.next"),
    ):
        await eventually(lambda: log.events)
        assert "circles" in log.entries[0][1]["detail"]
        assert len(peer.requests) <= 3


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (lambda _: web.Response(status=500, text="oops"), "http_500"),
        (lambda _: web.Response(status=401), "http_401"),
        (lambda _: web.Response(text="<html>"), "not_json"),
        (lambda _: web.Response(text="{}"), "items"),
        (lambda _: web.Response(text='{"value": 1}'), "items"),
        (lambda _: web.Response(text="[" * 100_000), "too_deep"),
        (lambda _: web.Response(text="x" * 200_000), "too_large"),
        (
            lambda _: web.Response(body=BOMB, headers={"Content-Encoding": "gzip"}),
            "too_large",
        ),
        (lambda _: web.Response(body=b"rubbish", headers={"Content-Encoding": "gzip"}), "encoding"),
        (
            lambda _: web.Response(
                body=gzip.compress(b'{"value": []}')[:-9], headers={"Content-Encoding": "gzip"}
            ),
            "encoding",
        ),
        (lambda _: web.Response(body=b"{}", headers={"Content-Encoding": "br"}), "encoding"),
        (lambda _: web.Response(status=302, headers={"Location": "http://127.0.0.2:1/"}), "rejected"),
        (lambda _: web.Response(status=302, headers={"Location": "/again"}), "rejected"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
async def test_a_failed_poll_is_told_and_tried_again(
    answer: Callable[[Request], web.Response], code: str
) -> None:
    log = Log()
    where = context(log=log)
    async with (
        Peer(answer=answer) as peer,
        polling(peer.url, where, items="payload.value", max_body="100KB") as taken,
    ):
        await eventually(lambda: log.events.count("poll_failed") >= 2)
        assert log.entries[0][1]["code"] == code, log.entries
        assert not where.health.connected
        peer.answer = gives({"value": [1]})
        await eventually(lambda: taken.messages)
        await eventually(lambda: where.health.connected)
        await eventually(lambda: "poll_recovered" in log.events)


async def test_a_packed_page_is_unpacked() -> None:
    body = gzip.compress(json.dumps({"value": list(range(50_000))}).encode())
    answer = lambda _: web.Response(body=body, headers={"Content-Encoding": "gzip"})  # noqa: E731
    async with Peer(answer=answer) as peer, polling(peer.url, items="payload.value") as taken:
        await eventually(lambda: taken.bodies == list(range(50_000)))


async def test_a_redirect_within_the_server_is_followed() -> None:
    def moved(request: Request) -> web.Response:
        if request.target == "/old":
            return web.Response(status=308, headers={"Location": "/new?a=b"})
        return gives([request.target])(request)

    async with Peer(answer=moved) as peer, polling(peer.url, path="old", items="payload") as taken:
        await eventually(lambda: taken.bodies == ["/new?a=b"])


async def test_retry_after_is_heeded() -> None:
    log = Log()
    answer = lambda _: web.Response(status=429, headers={"Retry-After": "3600"})  # noqa: E731
    async with Peer(answer=answer) as peer, polling(peer.url, context(log=log)):
        await eventually(lambda: log.events)
        assert log.entries[0][1]["retry_in_s"] == 3600
        assert len(peer.requests) == 1


async def test_pauses_grow_and_are_spread() -> None:
    log = Log()
    async with (
        Peer(answer=lambda _: web.Response(status=503)) as peer,
        polling(peer.url, context(log=log), retry_max="4s"),
    ):
        await eventually(lambda: log.events.count("poll_failed") >= 3, 15)
    pauses = [fields["retry_in_s"] for _, fields in log.entries]
    assert 0.5 <= pauses[0] <= 1
    assert 1 <= pauses[1] <= 2
    assert 2 <= pauses[2] <= 4


@pytest.mark.usefixtures("impatient")
async def test_a_black_hole_has_a_deadline_and_heals() -> None:
    where = context()
    async with (
        Peer(answer=gives([1])) as peer,
        FaultProxy("127.0.0.1", peer.port) as proxy,
        polling(f"http://127.0.0.1:{proxy.port}", where, items="payload"),
    ):
        await eventually(lambda: where.health.connected)
        proxy.black_hole()
        await eventually(lambda: not where.health.connected)
        assert "no answer in time" in where.health.detail
        proxy.heal()
        await eventually(lambda: where.health.connected)


async def test_secrets_are_not_in_what_is_logged() -> None:
    log, where = Log(), context()
    answer = lambda request: web.Response(status=401, text=str(dict(request.headers)))  # noqa: E731
    async with (
        Peer(answer=answer) as peer,
        polling(peer.url, context(log=log), options={"token": "tok-canary"}),
    ):
        await eventually(lambda: log.events)
    assert "Bearer ***" in str(log.entries)
    assert "canary" not in f"{log.entries} {where.health.detail}"


async def test_rubbish_as_state_starts_anew() -> None:
    log = Log()
    async with (
        Peer(answer=gives([1])) as peer,
        polling(peer.url, context(state=b"\xffrubbish", log=log), items="payload") as taken,
    ):
        await eventually(lambda: taken.messages)
    assert log.events[0] == "poll_state_unreadable"


async def test_a_defect_of_ours_ends_the_source_loudly(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> None:
        raise KeyError("a defect")

    monkeypatch.setattr("adapters.rest.walk.read_page", broken)
    async with Peer(answer=gives([1])) as peer:
        with pytest.raises(KeyError, match="a defect"):
            async with polling(peer.url):
                await polled(peer, 1)


async def test_a_source_without_poll_or_a_path_that_leaves_is_a_configuration_error() -> None:
    assert SPEC.source is not None
    with pytest.raises(ConfigError, match="poll or webhook"):
        SPEC.source(options(url="http://127.0.0.1:1"), context())
    source = SPEC.source(options(url="http://127.0.0.1:1", poll={"path": "../admin"}), context())
    with pytest.raises(ConfigError, match="leaves its place"):
        await source.open()
    await source.close()
