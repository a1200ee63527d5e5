"""Every error is a problem (RFC 9457), and tells nothing that it should not."""

from __future__ import annotations

import re

import httpx
import pytest
from structlog.testing import capture_logs

from router.journal import JournalCorrupt, StorageError
from tests.gateway.hubs import STRUCTURED, Gate, cloud_event, event

MEMBERS = {"type", "title", "status", "detail", "code", "errors", "traceId", "retryable"}


def problem(answer: httpx.Response) -> dict[str, object]:
    assert answer.headers["content-type"] == "application/problem+json"
    body: dict[str, object] = answer.json()
    assert set(body) >= MEMBERS, body
    assert body["status"] == answer.status_code
    assert re.fullmatch(r"[0-9a-f]{32}", str(body["traceId"]))
    return body


async def test_all_kinds_have_one_shape(gate: Gate) -> None:
    admin = await gate.client("admin")
    for method, path, status, code in (
        ("GET", "/nowhere", 404, "not_found"),
        ("GET", "/v1/events/99", 404, "not_found"),
        ("PUT", "/v1/events", 405, "method_not_allowed"),
        ("GET", "/v1/events?limit=x", 422, "parameters"),
        ("POST", "/v1/events", 415, "content_type"),
        ("POST", "/v1/keys", 422, "not_json"),
        ("POST", "/v1/dead-letters/1/retry", 404, "not_found"),
    ):
        body = problem(await admin.request(method, path))
        assert (body["status"], body["code"]) == (status, code), path


async def test_the_callers_trace_is_kept(gate: Gate) -> None:
    client = await gate.client()
    trace = "4bf92f3577b34da6a3ce929d0e0e4736"
    for given, kept in ((f"00-{trace}-00f067aa0ba902b7-01", True), ("00-XYZ-1-1", False), ("\x7f", False)):
        body = problem(await client.get("/v1/events", headers={"traceparent": given}))
        assert (body["traceId"] == trace) == kept


async def test_a_fault_of_ours_tells_nothing_but_is_logged(
    gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise KeyError("a secret detail")

    monkeypatch.setattr(gate.hub.search, "page", broken)
    client = await gate.client("viewer")
    with capture_logs() as logged:
        answer = await client.get("/v1/events")
    body = problem(answer)
    assert (answer.status_code, body["code"], body["retryable"]) == (500, "internal", False)
    assert "secret detail" not in answer.text
    assert "Traceback" not in answer.text
    assert answer.headers["x-content-type-options"] == "nosniff"
    (entry,) = [each for each in logged if each["event"] == "request_failed"]
    assert entry["trace_id"] == body["traceId"]
    assert "a secret detail" in entry["error"]


async def test_a_disk_that_takes_nothing_is_503_and_retryable(
    gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def full(*_: object, **__: object) -> None:
        raise StorageError("the journal could not be written: disk is full")

    client = await gate.client("integrator")
    monkeypatch.setattr(gate.hub.journal, "append", full)
    answer = await client.post("/v1/events", json=cloud_event(), headers={"content-type": STRUCTURED})
    body = problem(answer)
    assert (answer.status_code, body["code"], body["retryable"]) == (503, "storage", True)
    assert answer.headers["retry-after"]


async def test_a_damaged_journal_says_which_positions(gate: Gate, monkeypatch: pytest.MonkeyPatch) -> None:
    async def corrupt(*_: object, **__: object) -> None:
        raise JournalCorrupt(5, 9)

    await gate.record(event(1))
    client = await gate.client("viewer")
    monkeypatch.setattr(gate.hub.journal, "events", corrupt)
    body = problem(await client.get("/v1/events/1"))
    assert body["code"] == "journal_corrupt"
    assert "5–9" in str(body["detail"])


async def test_headers_that_every_answer_has(gate: Gate) -> None:
    client = await gate.client()
    for path in ("/", "/livez", "/v1/events", "/nowhere"):
        headers = (await client.get(path, headers={"Origin": "https://evil.example"})).headers
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["cache-control"] == "no-store"
        assert headers["referrer-policy"] == "no-referrer"
        assert "frame-ancestors 'none'" in headers["content-security-policy"]
        assert "access-control-allow-origin" not in headers
        assert "server" not in headers
