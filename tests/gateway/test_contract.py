"""The HTTP API keeps what its OpenAPI document says, whatever it is asked: schemathesis and a running hub.

Bounded and repeatable: a fixed number of requests per operation from a fixed seed, and none after its time is
up. Half of them name things that are there. Streams without an end have a test of their own.
"""

from __future__ import annotations

import itertools
import json
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from http.client import HTTPResponse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import seed as seeded
from schemathesis.checks import not_a_server_error
from schemathesis.core.failures import Failure, FailureGroup
from schemathesis.core.result import Ok
from schemathesis.generation import GenerationMode
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from tests.gateway.commands import RunningHub, hub, leased_port

SEED = 4711
EXAMPLES = {GenerationMode.POSITIVE: 12, GenerationMode.NEGATIVE: 6}
OPERATION_S = 0.8
"""After it an operation gets no more requests of a mode: the whole takes three minutes at most."""
ANSWER_S = 30.0
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]

DEPLOYMENT = """
company: acme
gateway: {{port: {port}}}
plants:
  aachen: {{name: Aachen, timezone: Europe/Berlin}}
  brno: {{name: Brno, timezone: Europe/Prague}}
crosswalks: [items.csv]
adapters:
  mes:
    kind: rest
    plant: aachen
    webhook: {{verify: {{kind: bearer, secret: "${{file:secret}}"}}}}
    format:
      kind: json
      events:
        - type: production.order.completed
          id: payload.order
          time: payload.at
          data:
            order: payload.order
            item: payload.item
            good: {{value: payload.good, uom: "'H87'"}}
            scrap: {{value: "'0'", uom: "'H87'"}}
            completed_at: payload.at
  erp: {{kind: rest, url: "http://127.0.0.1:{target}"}}
routes:
  completions:
    on: [production.order.completed]
    codes: {{system: erp, fields: [data.item]}}
    map: {{order: data.order, material: data.item}}
    to: {{adapter: erp, path: completions, receipt: /number}}
service_levels:
  production: {{domain: production, latency: 30s, target: 0.99, window: 24h, backlog_age: 5m}}
"""
ITEMS = "domain,system,value,canonical\nitem,erp,40001,PUMP-1\n"


class Erp(BaseHTTPRequestHandler):
    """Takes every document but those of order ``refused``."""

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        answer = json.dumps({"number": f"doc-{body['order']}"}).encode()
        self.send_response(422 if body["order"].startswith("refused") else 201)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, format: str, *arguments: object) -> None:
        """Says nothing."""


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningHub]:
    """A hub that has events, dead letters of both kinds, lanes, crosswalk rows and keys."""
    folder = tmp_path_factory.mktemp("contract")
    target = ThreadingHTTPServer(("127.0.0.1", 0), Erp)
    thread = Thread(target=target.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    (folder / "items.csv").write_text(ITEMS)
    (folder / "secret").write_text("webhook-secret\n")
    try:
        with leased_port() as port:
            text = DEPLOYMENT.format(port=port, target=target.server_address[1])
            (folder / "hub.yaml").write_text(text)
            with hub(folder, folder / "hub.yaml", port) as started:
                fill(started)
                yield started
    finally:
        target.shutdown()
        thread.join()
        target.server_close()


def fill(running: RunningHub) -> None:
    """Gives the hub something to tell."""
    orders = [("ok", "PUMP-1"), ("unknown", "PUMP-9"), ("refused", "PUMP-1")]
    for (name, item), number in itertools.product(orders, range(8)):
        body = {"order": f"{name}-{number}", "item": item, "good": "5", "at": "2026-03-02T10:15:00Z"}
        post(running, "/v1/webhooks/mes", body, "webhook-secret")
    for number in range(8):
        post(running, "/v1/webhooks/mes", {"order": number}, "webhook-secret")
    ask(running, "/v1/search?q=ok-1")
    running.process.until(lambda: len(ask(running, "/v1/lanes")["items"]) >= 16 or None, "lanes")
    row = {"domain": "item", "system": "erp", "value": "40002", "canonical": "PUMP-2"}
    post(running, "/v1/crosswalks", row)
    for role in ("viewer", "operator", "monitor"):
        post(running, "/v1/keys", {"name": f"a {role}", "roles": [role]})


def post(running: RunningHub, path: str, body: Any, key: str = "") -> Any:
    """The answer to a request; one that refuses the body is an answer, too."""
    headers = {"Authorization": f"Bearer {key or running.key}", "Content-Type": "application/json"}
    request = urllib.request.Request(f"{running.url}{path}", json.dumps(body).encode(), headers)
    try:
        with urllib.request.urlopen(request, timeout=ANSWER_S) as answer:
            return json.load(answer)
    except urllib.error.HTTPError as error:
        with error:
            if error.code != 422:
                raise
            return None


def ask(running: RunningHub, path: str, key: str = "") -> Any:
    """The JSON at a path."""
    with opened(running, path, key) as answer:
        return json.load(answer)


def opened(running: RunningHub, path: str, key: str = "", **headers: str) -> HTTPResponse:
    """The answer at a path, to be read."""
    request = urllib.request.Request(
        f"{running.url}{path}", headers={"Authorization": f"Bearer {key or running.key}", **headers}
    )
    answer: HTTPResponse = urllib.request.urlopen(request, timeout=ANSWER_S)
    return answer


# ── the contract ────────────────────────────────────────────────────────────────────────────────


def endless(operation: Mapping[str, Any]) -> bool:
    """Whether an operation answers with a stream of server-sent events."""
    answers = operation.get("responses", {}).values()
    return any("text/event-stream" in answer.get("content", {}) for answer in answers)


def there(running: RunningHub) -> dict[str, list[Any]]:
    """Values of path parameters that name something which is there."""

    def every(path: str, name: str) -> list[Any]:
        return [item[name] for item in ask(running, path)["items"]]

    admins = {item["id"] for item in ask(running, "/v1/keys")["items"] if "admin" in item["roles"]}
    return {
        "position": every("/v1/events", "position"),
        "number": every("/v1/dead-letters", "id"),
        "key": sorted(set(every("/v1/keys", "id")) - admins),
        "plant": ["aachen", "brno", "-"],
        "adapter": ["mes", "erp"],
        "name": ["completions"],
    }


@pytest.mark.timeout(600)
@pytest.mark.parametrize("role", ["admin", "viewer"])
def test_every_operation_keeps_its_contract(running: RunningHub, role: str) -> None:
    key = running.key
    if role != "admin":
        key = post(running, "/v1/keys", {"name": "contract", "roles": [role]})["key"]
    document = ask(running, "/openapi.json")
    known = there(running)
    schema = schemathesis.openapi.from_dict(document)
    broken: dict[str, str] = {}
    asked = 0
    with requests.Session() as session:
        for found in schema.get_all_operations():
            assert isinstance(found, Ok), found
            operation: Any = found.ok()
            if endless(document["paths"][operation.path][operation.method]):
                continue
            for mode, examples in EXAMPLES.items():
                told = exercise(operation, mode, examples, known, caller(running, session, key))
                asked += 1
                if told:
                    broken[f"{operation.label} ({mode.value})"] = told
    assert asked > 40
    report = "\n\n".join(f"{name}\n{told}" for name, told in broken.items())
    assert not broken, report
    assert ask(running, "/readyz")["status"] in ("ready", "degraded")


def caller(running: RunningHub, session: requests.Session, key: str) -> Callable[[Any], Any]:
    """Sends a case with this key."""

    def call(case: Any) -> Any:
        headers = {"Authorization": f"Bearer {key}"}
        return case.call(base_url=running.url, session=session, headers=headers, timeout=ANSWER_S)

    return call


class _Enough(BaseException):
    """The time is up. No Exception, which hypothesis would take for a fault and try again."""


def exercise(
    operation: Any,
    mode: GenerationMode,
    examples: int,
    known: Mapping[str, list[Any]],
    call: Callable[[Any], Any],
) -> str:
    """What an operation does against its document; empty when it keeps to it."""
    numbers, end = itertools.count(), time.monotonic() + OPERATION_S

    @seeded(SEED)
    @settings(
        max_examples=examples,
        phases=[Phase.explicit, Phase.generate],
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy(generation_mode=mode))
    def check(case: Any) -> None:
        number = next(numbers)
        if time.monotonic() > end:
            raise _Enough
        for name in case.path_parameters or {}:
            if number % 2 == 0 and known.get(name):
                case.path_parameters[name] = known[name][(number // 2) % len(known[name])]
        case.validate_response(call(case), checks=CHECKS)

    try:
        check()
    except _Enough:
        return ""
    except (Failure, FailureGroup) as error:
        faults = error.exceptions if isinstance(error, FailureGroup) else [error]
        return "\n".join(str(fault) for fault in faults)
    except Exception as error:
        if "Unsatisfiable" in type(error).__name__:
            return ""  # nothing that is wrong can be said in this place
        raise
    return ""


# ── streams ─────────────────────────────────────────────────────────────────────────────────────


def test_the_stream_says_what_it_is_and_begins_where_it_is_told(running: RunningHub) -> None:
    with opened(running, "/v1/events/stream?after=0") as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        lines = iter(answer.readline, b"")
        assert next(line for line in lines if line.startswith(b"id: ")) == b"id: 1\n"


@pytest.mark.parametrize("query", ["after=x", "after=-1", "type=nonsense", "after=99999999999999999999"])
def test_a_stream_that_cannot_be_is_refused(running: RunningHub, query: str) -> None:
    with pytest.raises(urllib.error.HTTPError) as refused:
        opened(running, f"/v1/events/stream?{query}")
    with refused.value as error:
        assert error.code == 422
        assert error.headers["content-type"] == "application/problem+json"
        assert json.load(error)["errors"]
