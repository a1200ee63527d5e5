"""`crossplant replay` as an integrator uses it: what would change, the change, and the history again."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from tests.gateway.commands import RunningHub, hub, leased_port

DEPLOYMENT = """
company: acme
gateway: {{port: {port}}}
plants:
  aachen: {{name: Aachen, timezone: Europe/Berlin}}
adapters:
  erp: {{kind: rest, url: "http://127.0.0.1:{target}"}}
routes:
  orders:
    on: [production.order.created]
    map: {{order: data.order, material: data.item}}
    to: {{adapter: erp, path: "orders/{{data.order}}", method: PUT}}
"""
SINCE = ("--since", "1h")


class Erp(BaseHTTPRequestHandler):
    """Writes down what it gets: (path, idempotency key, body)."""

    got: list[tuple[str, str, Any]]

    def do_PUT(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        type(self).got.append((self.path, self.headers["Idempotency-Key"], body))
        self.send_response(204)
        self.end_headers()

    def log_message(self, format: str, *arguments: object) -> None:
        """Says nothing."""


@pytest.fixture
def erp() -> Iterator[ThreadingHTTPServer]:
    Erp.got = []
    server = ThreadingHTTPServer(("127.0.0.1", 0), Erp)
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def running(tmp_path: Path, erp: ThreadingHTTPServer) -> Iterator[RunningHub]:
    with leased_port() as port:
        path = tmp_path / "hub.yaml"
        path.write_text(DEPLOYMENT.format(port=port, target=erp.server_address[1]))
        with hub(tmp_path, path, port) as started:
            yield started


def say(running: RunningHub, *orders: str) -> None:
    """Returns when they have arrived."""
    import urllib.request

    events = [
        {
            "specversion": "1.0",
            "id": f"e-{order}",
            "source": "/systems/planning",
            "type": "com.crossplant.production.order.created.v1",
            "plantid": "aachen",
            "data": {
                "order": order,
                "item": "PUMP",
                "quantity": {"value": "5", "uom": "H87"},
                "planned_start": "2026-03-31T10:00:00Z",
                "planned_end": "2026-03-31T12:00:00Z",
            },
        }
        for order in orders
    ]
    request = urllib.request.Request(
        f"{running.url}/v1/events",
        json.dumps(events).encode(),
        {
            "Authorization": f"Bearer {running.key}",
            "Content-Type": "application/cloudevents-batch+json",
        },
    )
    before = len(Erp.got)
    with urllib.request.urlopen(request, timeout=10) as answer:
        assert answer.status == 202
    running.process.until(lambda: len(Erp.got) >= before + len(orders) or None, "delivered")
    running.process.until(lambda: settled(running) or None, "settled")


def settled(running: RunningHub) -> bool:
    [route] = running.cli("routes", "list", "--json").json()
    return bool(route["cursor"] == route["head"])


def test_a_change_is_tried_loaded_and_replayed(running: RunningHub, tmp_path: Path) -> None:
    say(running, "A", "B")
    other = tmp_path / "changed.yaml"
    text = (tmp_path / "hub.yaml").read_text()
    other.write_text(text.replace("material: data.item", "material: data.item + '-X'"))
    table = tmp_path / "differences.csv"
    tried = running.cli(
        *("replay", "--route", "orders", *SINCE, "--dry-run", "--config", other, "--export", table)
    )
    assert tried.code == 0, tried.err
    assert tried.out.splitlines() == [
        "material: 2 events",
        '    1: "PUMP" → "PUMP-X"',
        '    2: "PUMP" → "PUMP-X"',
    ]
    assert tried.err.endswith("dry run 1 done: 2 changed\n")
    rows = list(csv.DictReader(table.read_text().splitlines()))
    assert [(row["position"], row["field"], row["after"]) for row in rows] == [
        ("1", "material", '"PUMP-X"'),
        ("2", "material", '"PUMP-X"'),
    ]
    assert len(Erp.got) == 2  # nothing was delivered
    (tmp_path / "hub.yaml").write_text(other.read_text())
    assert running.cli("reload").code == 0
    again = running.cli("replay", "--route", "orders", *SINCE, "--rate", "100", "--json")
    assert again.code == 0, again.err
    assert again.json()["result"] == {
        "counts": {"delivered": 2, "left_out": 0, "passed_over": 0, "failed": 0, "held_back": 0}
    }
    first, second = Erp.got[:2], Erp.got[2:]
    assert sorted((path, key) for path, key, _ in second) == sorted((path, key) for path, key, _ in first)
    assert [body["material"] for _, _, body in second] == ["PUMP-X", "PUMP-X"]
    told = running.cli("events", "--type", "integration.message.replayed", "--json").out.splitlines()
    data = [json.loads(line)["data"] for line in told]
    assert sorted((one["message"], one["by"]) for one in data) == [("e-A", "tests"), ("e-B", "tests")]


def test_what_is_wrong_with_the_question_is_said(running: RunningHub, tmp_path: Path) -> None:
    say(running, "A")
    wrong = tmp_path / "wrong.yaml"
    wrong.write_text((tmp_path / "hub.yaml").read_text().replace("data.item", "data.itm"))
    replay = ("replay", "--route", "orders", *SINCE)
    for arguments, code, told in (
        ((*replay, "--dry-run", "--config", wrong), 2, "data.itm"),
        ((*replay, "--config", wrong), 2, "--config and --export are for --dry-run"),
        ((*replay, "--dry-run", "--export", "x.txt"), 2, ".ndjson or .csv"),
        (("replay", "--route", "ordres", *SINCE, "--dry-run"), 1, "no route 'ordres'"),
        (("replay", "--route", "orders", "--since", "soon", "--dry-run"), 2, "--since"),
    ):
        done = running.cli(*arguments)
        assert (done.code, done.out, told in done.err) == (code, "", True), (arguments, done)
