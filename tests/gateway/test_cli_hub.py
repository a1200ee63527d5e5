"""The commands that ask a running hub, as an operator uses them through a shift."""

import json
import os
import signal
import urllib.error
import urllib.request
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from tests.gateway.commands import ARGV, RunningHub, crossplant, hub, leased_port
from tests.servers import Process

DEPLOYMENT = """
company: acme
gateway: {{port: {port}}}
plants:
  aachen: {{name: Aachen, timezone: Europe/Berlin}}
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
"""
ITEMS = "domain,system,value,canonical\nitem,erp,40001,PUMP-1\n"


class Erp(BaseHTTPRequestHandler):
    """Takes every document but those of order ``refused``."""

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        status = 422 if body["order"] == "refused" else 201
        answer = json.dumps({"number": f"doc-{body['order']}"}).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, format: str, *arguments: object) -> None:
        """Says nothing."""


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningHub]:
    """A hub with a delivered, a parked, a refused and an unreadable order."""
    folder = tmp_path_factory.mktemp("cli")
    target = ThreadingHTTPServer(("127.0.0.1", 0), Erp)
    thread = Thread(target=target.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    (folder / "items.csv").write_text(ITEMS)
    (folder / "secret").write_text("webhook-secret\n")
    with leased_port() as port:
        text = DEPLOYMENT.format(port=port, target=target.server_address[1])
        (folder / "hub.yaml").write_text(text)
        with hub(folder, folder / "hub.yaml", port) as started:
            for order, item in (("4711", "PUMP-1"), ("4712", "PUMP-9"), ("refused", "PUMP-1")):
                post(started, {"order": order, "item": item, "good": "5", "at": "2026-03-02T10:15:00Z"})
            post(
                started,
                {"order": "4714", "item": "PUMP-1", "good": "many\x1b[2J", "at": "2026-03-02T10:15:00Z"},
            )
            yield started
    target.shutdown()
    thread.join()
    target.server_close()


def post(running: RunningHub, body: dict[str, Any]) -> None:
    """Calls the MES's webhook, whatever the answer."""
    request = urllib.request.Request(
        f"{running.url}/v1/webhooks/mes",
        json.dumps(body).encode(),
        {"Authorization": "Bearer webhook-secret", "Content-Type": "application/json"},
    )
    try:
        urllib.request.urlopen(request, timeout=10).close()
    except urllib.error.HTTPError as error:
        error.close()
        if error.code != 422:
            raise


def until(running: RunningHub, *arguments: str, shows: str) -> str:
    """The command's stdout once it has this text."""

    def look() -> str | None:
        out = running.cli(*arguments).out
        return out if shows in out else None

    return running.process.until(look, f"showing {shows!r}", 20)


def test_events_are_listed_oldest_first(running: RunningHub) -> None:
    out = until(running, "events", "--type", "production.order.completed", shows="refused")
    subjects = [line.split()[-1] for line in out.splitlines()]
    assert subjects == ["4711", "4712", "refused"]


def test_events_for_machines_are_one_cloudevent_a_line(running: RunningHub) -> None:
    done = running.cli("events", "--json", "--plant", "aachen", "--since", "1h", "--limit", "2")
    events = [json.loads(line) for line in done.out.splitlines()]
    assert next(event["data"]["order"] for event in events if "order" in event["data"]) == "4711"
    assert len(events) == 2
    assert events[0]["position"] < events[1]["position"]


def test_no_events_is_a_message_and_no_failure(running: RunningHub) -> None:
    done = running.cli("events", "--type", "quality.hold.placed")
    assert (done.code, done.out) == (0, "")
    assert "no events" in done.err


def test_a_moment_that_is_none_is_wrong_usage(running: RunningHub) -> None:
    done = running.cli("events", "--since", "yesterday")
    assert done.code == 2
    assert "15m" in done.err


def test_following_shows_what_comes_until_it_is_interrupted(running: RunningHub, tmp_path: Path) -> None:
    process = Process(
        argv=[
            *(
                "env",
                *(f"{name}={value}" for name, value in running.env.items()),
                *ARGV,
                "events",
                "--follow",
            ),
            *("--since", "1h", "--type", "production.order.completed"),
        ],
        out_path=tmp_path / "out",
        log_path=tmp_path / "err",
    )
    process.start()
    try:
        process.until(lambda: "4711" in (tmp_path / "out").read_text() or None, "showing what was before")
        post(running, {"order": "4720", "item": "PUMP-1", "good": "5", "at": "2026-03-02T11:15:00Z"})
        process.until(lambda: "4720" in (tmp_path / "out").read_text() or None, "following")
        os.kill(process.pid, signal.SIGINT)
        assert process.running is not None
        assert process.running.wait(10) == 0
    finally:
        process.end()
    assert "Traceback" not in (tmp_path / "err").read_text()


def test_a_trace_shows_the_way_from_bytes_to_receipt(running: RunningHub) -> None:
    out = until(running, "trace", "4711", shows="delivered")
    assert "production.order.completed  4711" in out
    assert "through mes" in out
    assert '"order": "4711"' in out
    assert "receipt doc-4711" in out


def test_a_trace_says_what_an_order_waits_for(running: RunningHub) -> None:
    assert "PUMP-9" in until(running, "trace", "4712", shows="completions: parked")


def test_a_trace_takes_a_position_too(running: RunningHub) -> None:
    (timeline,) = running.cli("trace", "4711", "--json").json()
    again = running.cli("trace", str(timeline["position"]), "--json").json()
    assert timeline["position"] in [one["position"] for one in again]


def test_what_nobody_knows_cannot_be_traced(running: RunningHub) -> None:
    done = running.cli("trace", "no-such-order")
    assert done.code == 1
    assert "'no-such-order'" in done.err
    assert not done.out


def test_groups_are_listed_and_retried_at_a_rate(running: RunningHub) -> None:
    until(running, "dead-letters", "list", shows="completions")
    group = running.cli("dead-letters", "groups", "--json").json()[0]
    assert group["error"] in running.cli("dead-letters", "groups").out
    retried = running.cli(
        "dead-letters", "retry", "--group", group["fingerprint"], "--rate", "100", "--json"
    ).json()
    assert retried["state"] == "done"
    assert retried["total"] == group["open"]
    assert running.cli("dead-letters", "retries", "--json").json()[0]["id"] == retried["id"]
    assert running.cli("dead-letters", "retry", "17", "--rate", "5").code == 2
    assert running.cli("dead-letters", "retries", "--stop", str(retried["id"])).code == 1


def test_dry_run_tells_what_a_retry_would_do(running: RunningHub) -> None:
    until(running, "dead-letters", "list", shows="completions")
    listed = running.cli("dead-letters", "list", "--json").json()
    message = next(one for one in listed if one["kind"] == "message")
    delivery = next(one for one in listed if one["kind"] == "delivery")
    one = running.cli("dead-letters", "retry", str(message["id"]), str(delivery["id"]), "--dry-run")
    assert (one.code, "would fail again" in one.out, "the target decides" in one.out) == (1, True, True)
    many = running.cli("dead-letters", "retry", "--group", delivery["fingerprint"], "--dry-run")
    assert (many.code, "the target decides" in many.out, "nothing was delivered" in many.err) == (
        0,
        True,
        True,
    )
    told = running.cli("dead-letters", "retry", "--adapter", "mes", "--dry-run", "--json").json()
    assert told["outcomes"]["would_fail"] >= 1
    assert running.cli("dead-letters", "list", "--json").json() == listed
    assert running.cli("dead-letters", "retry", "--dry-run").code == 2


def test_exceptions_are_listed_taken_on_and_resolved(running: RunningHub) -> None:
    until(running, "exceptions", "list", shows="completions")
    task = running.cli("exceptions", "list", "--json").json()[0]
    number = str(task["id"])
    assert "night shift" in running.cli("exceptions", "assign", number, "night shift").err
    assert running.cli("exceptions", "comment", number, "asked the ERP's team").code == 0
    assert "asked the ERP's team" in running.cli("exceptions", "show", number).out
    assert running.cli("exceptions", "resolve", number, "--resolution", "known").code == 0
    assert running.cli("exceptions", "resolve", number, "--resolution", "known").code == 1
    assert running.cli("exceptions", "show", "999").code == 1


def test_edit_is_proposed_listed_and_not_approved_by_its_author(running: RunningHub, tmp_path: Path) -> None:
    until(running, "dead-letters", "list", shows="completions")
    listed = running.cli("dead-letters", "list", "--json").json()
    letter = next(one for one in listed if one["kind"] == "delivery")
    number, file = str(letter["id"]), tmp_path / "data.json"
    file.write_text("no JSON")
    assert running.cli("dead-letters", "edit", number, file, "--reason", "x").code == 2
    data = {**letter["event"]["data"], "item": "another"}
    file.write_text(json.dumps(data))
    proposed = running.cli("dead-letters", "edit", number, file, "--reason", "wrong item", "--json")
    assert proposed.code == 0, proposed.err
    made = proposed.json()
    assert made["state"] == "proposed"
    assert "/item" in running.cli("dead-letters", "edits", number).out
    own = running.cli("dead-letters", "approve", number, str(made["id"]))
    assert (own.code, "another person" in own.err) == (1, True)
    assert running.cli("dead-letters", "withdraw", number, str(made["id"])).code == 0


def test_dead_letters_are_listed_shown_and_discarded(running: RunningHub) -> None:
    until(running, "dead-letters", "list", shows="completions")
    listed = running.cli("dead-letters", "list", "--json").json()
    refused = next(one for one in listed if one["kind"] == "delivery")
    shown = running.cli("dead-letters", "show", str(refused["id"]))
    assert "completions" in shown.out
    assert "http_422" in shown.out
    done = running.cli("dead-letters", "discard", str(refused["id"]), "--reason", "posted by hand")
    assert done.code == 0
    again = running.cli("dead-letters", "discard", str(refused["id"]), "--reason", "posted by hand")
    assert again.code == 1
    assert "discarded" in again.err


def test_a_dead_letter_cannot_steer_the_terminal(running: RunningHub) -> None:
    listed = running.cli("dead-letters", "list", "--adapter", "mes", "--json").json()
    letter = next(one for one in listed if one["kind"] == "message")
    for command in (("list",), ("show", str(letter["id"]))):
        out = running.cli("dead-letters", *command).out
        assert "\x1b" not in out
        assert "many" in out or command == ("list",)


def _reasons(running: RunningHub, act: str) -> list[str]:
    acts = running.cli("audit", "list", "--json").json()
    return [each["details"].get("reason", "") for each in acts if each["act"] == act]


def test_a_retry_that_fails_again_exits_with_1(running: RunningHub) -> None:
    done = running.cli("dead-letters", "retry", "--adapter", "mes", "--reason", "once more")
    assert done.code == 1
    assert "open" in done.out
    assert "once more" in _reasons(running, "dead_letter.retry")


def test_a_retry_needs_to_know_which(running: RunningHub) -> None:
    done = running.cli("dead-letters", "retry")
    assert done.code == 2
    assert "--group" in done.err


def test_lanes_say_what_they_wait_for_and_a_new_row_lets_them_go(running: RunningHub) -> None:
    out = until(running, "lanes", "list", shows="4712")
    assert "item 'PUMP-9' of erp" in out
    (lane,) = [one for one in running.cli("lanes", "list", "--json").json() if one["state"] == "parked"]
    rows = running.cli("lanes", "show", lane["route"], lane["key"], "--json").json()
    assert [(row["position"], row["state"]) for row in rows] == [(lane["position"], "parked")]
    assert str(lane["position"]) in running.cli("lanes", "show", lane["route"], lane["key"]).out
    assert running.cli("lanes", "release", lane["route"], lane["key"], "--reason", "let me see").code == 0
    assert "let me see" in _reasons(running, "lane.release")
    added = running.cli("crosswalks", "add", "item", "erp", "40009", "PUMP-9")
    assert added.code == 0, added.err
    assert "receipt doc-4712" in until(running, "trace", "4712", shows="delivered")
    assert "40009" in running.cli("crosswalks", "list", "--system", "erp").out


def test_a_lane_that_is_none_cannot_be_released(running: RunningHub) -> None:
    done = running.cli("lanes", "release", "completions", "no-such-key")
    assert done.code == 1
    assert "no-such-key" in done.err


def test_the_doctor_asks_the_hub_of_the_folder(running: RunningHub) -> None:
    found = running.cli("doctor", "--data", running.data, "--json").json()["findings"]
    (hub,) = [each for each in found if each["what"] == "hub"]
    assert (hub["verdict"], hub["detail"]) == ("ok", f"process {running.process.pid} runs and answers")


def test_audit_is_listed_and_verified(running: RunningHub) -> None:
    acts = running.cli("audit", "list", "--json").json()
    assert "key.create" in {act["act"] for act in acts}
    verified = running.cli("audit", "verify", "--json").json()
    assert verified["findings"] == []
    assert verified["head"]["last"] >= len(acts)
    assert running.cli("audit", "verify", "--head", verified["head"]["seal"]).code == 0
    assert running.cli("audit", "verify", "--head", "00").code == 1


def test_configured_route_is_not_forgotten(running: RunningHub) -> None:
    name = running.cli("routes", "list", "--json").json()[0]["name"]
    refused = running.cli("routes", "forget", name)
    assert refused.code == 1
    assert "is configured" in refused.err


def test_routes_are_listed_with_their_state(running: RunningHub) -> None:
    out = running.cli("routes", "list").out
    assert "completions" in out
    assert "erp" in out


def test_keys_are_made_listed_rotated_and_revoked_through_the_gateway(running: RunningHub) -> None:
    made = running.cli("keys", "create", "press", "--role", "viewer", "--plant", "aachen", "--expires", "90d")
    assert made.code == 0, made.err
    assert made.out.startswith("cp_")
    reader = {**running.env, "CROSSPLANT_API_KEY": made.out.strip()}
    refused = crossplant("keys", "list", env=reader)
    assert refused.code == 1
    assert "may not do this" in refused.err
    listed = running.cli("keys", "list").out
    assert "press" in listed
    assert made.out.strip() not in listed
    rotated = running.cli("keys", "rotate", "press")
    assert rotated.out != made.out
    gone = crossplant("routes", "list", env=reader)
    assert gone.code == 1
    assert "CROSSPLANT_API_KEY" in gone.err
    assert running.cli("keys", "revoke", "press", "--reason", "the press is sold").code == 0
    assert "the press is sold" in _reasons(running, "key.revoke")
    assert running.cli("keys", "revoke", "press").code == 1


def test_keys_are_kept_on_the_machine_itself_without_a_key(running: RunningHub) -> None:
    made = crossplant("keys", "create", "local", "--role", "viewer", "--data", running.data, "--json")
    key = made.json()["key"]
    assert crossplant("routes", "list", env={**running.env, "CROSSPLANT_API_KEY": key}).code == 0
    assert "local" in crossplant("keys", "list", "--data", running.data).out
    told = ("--reason", "the test is over")
    assert crossplant("keys", "revoke", "local", "--data", running.data, *told).code == 0
    assert "the test is over" in _reasons(running, "key.revoke")
    assert crossplant("keys", "rotate", "local", "--data", running.data).code == 1


@pytest.mark.parametrize(
    ("arguments", "code", "hint"),
    [
        (("a", "--role", "king"), 2, "king"),
        (("tests", "--role", "viewer"), 1, "rotate or revoke"),
        (("b", "--role", "viewer", "--expires", "90"), 2, "30d"),
    ],
)
def test_a_key_asked_for_wrongly_is_told(
    running: RunningHub, arguments: tuple[str, ...], code: int, hint: str
) -> None:
    done = crossplant("keys", "create", *arguments, "--data", running.data)
    assert done.code == code
    assert hint in done.err
    assert "Traceback" not in done.err


def test_a_data_folder_that_is_none_is_told(tmp_path: Path) -> None:
    done = crossplant("keys", "list", "--data", tmp_path / "none")
    assert done.code == 2
    assert "no such folder" in done.err


def test_the_key_may_come_from_a_file(running: RunningHub, tmp_path: Path) -> None:
    (tmp_path / "key").write_text(f"{running.key}\n")
    env = {"CROSSPLANT_URL": running.url}
    assert crossplant("routes", "list", "--key-file", tmp_path / "key", env=env).code == 0
    missing = crossplant("routes", "list", "--key-file", tmp_path / "none", env=env)
    assert missing.code == 2


def test_without_a_key_it_says_how_to_get_one(running: RunningHub) -> None:
    done = crossplant("routes", "list", "--url", running.url)
    assert done.code == 2
    assert "crossplant keys create" in done.err


def test_a_key_that_is_none_is_refused(running: RunningHub) -> None:
    done = crossplant("routes", "list", env={**running.env, "CROSSPLANT_API_KEY": "cp_nobody_nothing"})
    assert done.code == 1
    assert "CROSSPLANT_API_KEY" in done.err


def test_the_log_of_the_hub_has_no_error_and_no_key(running: RunningHub) -> None:
    log = running.log()
    assert running.key not in log
    assert "webhook-secret" not in log
    levels = {json.loads(line)["level"] for line in log.splitlines()}
    assert levels <= {"info", "warning"}
