"""What the sink sends, and what it makes of the answers of a real server."""

from __future__ import annotations

import email.utils
import gzip
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from aiohttp import web

from adapters.rest import SPEC
from canonical.errors import ConfigError, Invalid, Rejected, TransientError, Unauthorized
from canonical.ports import Accepted, Failed
from tests.adapters.rest.peer import KEY, Log, Peer, context, delivery, options, send, sink


@pytest.fixture
async def peer() -> AsyncIterator[Peer]:
    async with Peer() as running:
        yield running


def answers(peer: Peer, status: int, text: str = "", **headers: str) -> None:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    peer.answer = lambda _: web.Response(status=status, text=text, headers=named)


async def test_a_delivery_is_one_request_with_its_key_and_its_context(peer: Peer) -> None:
    settings = options(url=f"{peer.url}/api/", token="tok", headers={"sap-client": "100"})
    async with sink(settings) as erp:
        outcome = await send(erp, delivery(path="deliveries/DN-1?draft=true", headers={"X-Plant": "aachen"}))
    assert outcome == Accepted("")
    (request,) = peer.requests
    assert (request.method, request.target) == ("POST", "/api/deliveries/DN-1?draft=true")
    assert request.body == b'{"qty": 3}'
    wanted = {
        "Idempotency-Key": KEY,
        "Content-Type": "application/json",
        "Authorization": "Bearer tok",
        "Traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        "X-Correlation-Id": "corr-7",
        "X-Plant": "aachen",
        "sap-client": "100",
        "User-Agent": "crossplant",
    }
    assert {name: request.headers[name] for name in wanted} == wanted


@pytest.mark.parametrize(
    ("auth", "header", "value"),
    [
        ({"basic": {"username": "erp", "password": "pä:ss"}}, "Authorization", "Basic ZXJwOnDDpDpzcw=="),
        ({"header": {"name": "X-API-Key", "value": "k1"}}, "X-API-Key", "k1"),
    ],
)
async def test_credentials(peer: Peer, auth: dict[str, Any], header: str, value: str) -> None:
    async with sink(options(url=peer.url, **auth)) as erp:
        await send(erp)
    assert peer.requests[0].headers[header] == value


async def test_method_headers_and_key_header_are_free(peer: Peer) -> None:
    async with sink(options(url=peer.url, idempotency_header="X-Request-Key")) as erp:
        await send(erp, delivery(method="PUT", path="/a", headers={"content-type": "application/vnd.a+json"}))
        await send(erp, delivery(method="DELETE", path="a%2Fb/c d#e"))
    put, delete = peer.requests
    assert put.headers["Content-Type"] == "application/vnd.a+json"
    assert sum(name.lower() == "content-type" for name in put.headers) == 1
    assert put.headers["X-Request-Key"] == KEY
    assert (delete.method, delete.target, delete.body) == ("DELETE", "/a%2Fb/c%20d%23e", b"")


@pytest.mark.parametrize(
    "path", ["../admin", "a/%2e%2e/b", "a/..\\b", "./a", "a/\nb", "a/%2E%2E"], ids=lambda path: repr(path)
)
async def test_a_path_from_a_message_stays_in_its_place(peer: Peer, path: str) -> None:
    async with sink(options(url=f"{peer.url}/api")) as erp:
        outcome = await send(erp, delivery(path=path))
    assert isinstance(outcome, Failed)
    assert isinstance(outcome.error, Invalid)
    assert not peer.requests


@pytest.mark.parametrize(
    "path", ["//other.example.com/x", "http://other.example.com/x", "@other.example.com/"]
)
async def test_a_path_reaches_no_other_host(peer: Peer, path: str) -> None:
    async with sink(options(url=peer.url)) as erp:
        await send(erp, delivery(path=path))
    assert "other.example.com" in peer.requests[0].target
    assert "other.example.com" not in peer.requests[0].headers["Host"]


@pytest.mark.parametrize("what", [{"path": "a/\ud800"}, {"key": "a\r\nb"}])
async def test_what_no_request_can_carry_is_the_messages_fault(peer: Peer, what: dict[str, str]) -> None:
    async with sink(options(url=peer.url)) as erp:
        outcome = await send(erp, delivery(**what))  # type: ignore[arg-type]
        assert isinstance(outcome, Failed)
        assert isinstance(outcome.error, Invalid)
        assert await send(erp) == Accepted()
    assert len(peer.requests) == 1


async def test_a_header_from_a_message_cannot_smuggle_another(peer: Peer) -> None:
    async with sink(options(url=peer.url)) as erp:
        outcome = await send(erp, delivery(headers={"X-Note": "a\r\nX-Evil: 1"}))
    assert isinstance(outcome, Failed)
    assert outcome.error.code == "target"
    assert not peer.requests


@pytest.mark.parametrize(
    ("status", "error", "busy", "outage"),
    [
        (400, Rejected, False, False),
        (404, Rejected, False, False),
        (410, Rejected, False, False),
        (422, Rejected, False, False),
        (401, Unauthorized, False, False),
        (403, Unauthorized, False, False),
        (408, TransientError, False, False),
        (409, TransientError, True, False),
        (423, TransientError, True, False),
        (429, TransientError, True, False),
        (500, TransientError, False, False),
        (501, TransientError, False, False),
        (502, TransientError, False, True),
        (503, TransientError, False, True),
        (504, TransientError, False, True),
    ],
)
async def test_what_a_status_means(
    peer: Peer, status: int, error: type[Exception], busy: bool, outage: bool
) -> None:
    answers(peer, status, "because\r\nof \x1b[31mthis")
    where = context()
    async with sink(options(url=peer.url), where) as erp:
        outcome = await send(erp)
        assert where.health.connected is not outage
    assert isinstance(outcome, Failed)
    assert type(outcome.error) is error
    assert outcome.error.code == f"http_{status}"
    assert f"answered {status}: because of [31mthis" in outcome.error.message
    if isinstance(outcome.error, TransientError):
        assert (outcome.error.busy, outcome.error.outage) == (busy, outage)


async def test_a_redirect_is_not_followed_but_told(peer: Peer) -> None:
    answers(peer, 308, Location="https://elsewhere.example.com/api")
    async with sink(options(url=peer.url)) as erp:
        outcome = await send(erp)
    assert isinstance(outcome, Failed)
    assert isinstance(outcome.error, Rejected)
    assert "https://elsewhere.example.com/api" in outcome.error.message
    assert len(peer.requests) == 1


async def test_retry_after_in_seconds_and_as_a_date(peer: Peer) -> None:
    async with sink(options(url=peer.url)) as erp:
        answers(peer, 503, Retry_After="7")
        first = await send(erp)
        moment = datetime.now(UTC) + timedelta(seconds=90)
        answers(peer, 429, Retry_After=email.utils.format_datetime(moment, usegmt=True))
        second = await send(erp)
    assert isinstance(first, Failed)
    assert isinstance(second, Failed)
    assert isinstance(first.error, TransientError)
    assert isinstance(second.error, TransientError)
    assert first.error.retry_after_s == 7
    assert second.error.retry_after_s == pytest.approx(90, abs=5)


async def test_a_route_says_which_codes_are_success(peer: Peer) -> None:
    async with sink(options(url=peer.url)) as erp:
        answers(peer, 409, "exists")
        assert isinstance(await send(erp, delivery(success=[200, 201, 409])), Accepted)
        answers(peer, 202)
        refused = await send(erp, delivery(success=[201]))
    assert isinstance(refused, Failed)
    assert refused.error.code == "http_202"


async def test_the_receipt_is_the_location_or_a_field_of_the_answer(peer: Peer) -> None:
    async with sink(options(url=peer.url)) as erp:
        answers(peer, 201, '{"d": [{"number": 4711, "a/b": "x"}]}', Location="/deliveries/9")
        assert await send(erp) == Accepted("/deliveries/9")
        assert await send(erp, delivery(receipt="/d/0/number")) == Accepted("4711")
        assert await send(erp, delivery(receipt="/d/0/a~1b")) == Accepted("x")
        assert await send(erp, delivery(receipt="/d/5/number")) == Accepted("")
        answers(peer, 200, "thanks")
        assert await send(erp, delivery(receipt="/id")) == Accepted("")


async def test_a_huge_answer_is_cut(peer: Peer) -> None:
    async with sink(options(url=peer.url)) as erp:
        answers(peer, 400, "x" * 8_000_000)
        refused = await send(erp)
        answers(peer, 200, "x" * 8_000_000)
        assert await send(erp) == Accepted("")
    assert isinstance(refused, Failed)
    assert len(refused.error.message) < 500


async def test_a_packed_answer_is_not_unpacked(peer: Peer) -> None:
    bomb = gzip.compress(b"\0" * 20_000_000)
    peer.answer = lambda _: web.Response(status=400, body=bomb, headers={"Content-Encoding": "gzip"})
    async with sink(options(url=peer.url)) as erp:
        outcome = await send(erp)
    assert isinstance(outcome, Failed)
    assert outcome.error.message == "the server answered 400"
    assert peer.requests[0].headers["Accept-Encoding"] == "identity"


async def test_secrets_that_the_server_quotes_are_not_passed_on(peer: Peer) -> None:
    answers(peer, 401, "bad token: Bearer tok-canary")
    log, where = Log(), context()
    async with sink(options(url=peer.url, token="tok-canary"), where) as erp:
        outcome = await send(erp)
    assert isinstance(outcome, Failed)
    assert "Bearer ***" in outcome.error.message
    assert "canary" not in f"{outcome} {outcome.error.context} {where.health.detail} {log.entries}"


async def test_credentials_over_plain_http_are_warned_of(peer: Peer) -> None:
    log = Log()
    async with sink(options(url=peer.url, token="t"), context(log=log)):
        pass
    assert log.events == ["credentials_in_clear"]


def test_a_sink_without_url_is_a_configuration_error() -> None:
    settings = options(webhook={"verify": {"kind": "bearer", "secret": "s"}})
    assert SPEC.sink is not None
    with pytest.raises(ConfigError, match="needs a url"):
        SPEC.sink(settings, context())


async def test_a_closed_sink_fails_without_sending(peer: Peer) -> None:
    async with sink(options(url=peer.url)) as erp:
        await send(erp)
    outcome = await send(erp)
    assert isinstance(outcome, Failed)
    assert len(peer.requests) == 1


async def test_lookup_tells_whether_it_is_there(peer: Peer) -> None:
    lookup = {
        "path": "receipts?key={key}&asn={data.asn}",
        "found": "payload.total > 0",
        "receipt": "payload.items[0].id",
    }
    async with sink(options(url=peer.url, lookup=lookup)) as erp:
        answers(peer, 200, '{"total": 1, "items": [{"id": 12}]}')
        assert await erp.lookup(delivery(key="a&b=c")) == Accepted("12")
        answers(peer, 200, '{"total": 0, "items": []}')
        assert await erp.lookup(delivery()) is None
        answers(peer, 404)
        assert await erp.lookup(delivery()) is None
    assert (peer.requests[0].method, peer.requests[0].target) == (
        "GET",
        "/receipts?key=a%26b%3Dc&asn=DN/1%20001",
    )


async def test_lookup_by_status_alone(peer: Peer) -> None:
    async with sink(options(url=peer.url, lookup={"path": "r/{key}"})) as erp:
        answers(peer, 200, "no JSON")
        assert await erp.lookup(delivery()) == Accepted("")


@pytest.mark.parametrize(
    ("status", "text", "transient"),
    [
        (503, "", True),
        (500, "", True),
        (429, "", True),
        (401, "", False),
        (200, "no JSON", False),
        (200, '{"count": 1}', False),
        (200, "[" * 100_000, False),
        (302, "", False),
    ],
)
async def test_a_lookup_that_says_nothing(peer: Peer, status: int, text: str, transient: bool) -> None:
    answers(peer, status, text)
    async with sink(options(url=peer.url, lookup={"path": "r/{key}", "found": "payload.total > 0"})) as erp:
        said = await erp.lookup(delivery())
    assert isinstance(said, Failed)
    assert isinstance(said.error, TransientError) is transient


async def test_lookup_without_a_server_is_transient(peer: Peer) -> None:
    await peer.stop()
    async with sink(options(url=peer.url, lookup={"path": "r/{key}"})) as erp:
        away = await erp.lookup(delivery())
    assert isinstance(away, Failed)
    assert isinstance(away.error, TransientError)
    assert away.error.outage


async def test_without_lookup_nothing_is_asked_and_the_key_guards(peer: Peer) -> None:
    async with sink(options(url=peer.url)) as erp:
        assert await erp.lookup(delivery()) is None
    assert not peer.requests
