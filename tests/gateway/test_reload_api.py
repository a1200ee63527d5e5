"""A reload as an operator asks for it, of a hub that runs: by the API, the command, a signal."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.gateway.commands import RunningHub, hub, leased_port

DEPLOYMENT = """
company: acme
gateway: {{port: {port}}}
adapters:
  erp: {{kind: rest, url: "http://127.0.0.1:1", token: "${{file:token}}"}}
routes:
  orders:
    on: [production.order.created]
    map: {{order: data.order}}
    to: {{adapter: erp, path: orders}}
"""
SECRET = "a-token-that-nobody-may-see"


@pytest.fixture
def running(tmp_path: Path) -> Iterator[RunningHub]:
    (tmp_path / "token").write_text(SECRET)
    with leased_port() as port:
        (tmp_path / "hub.yaml").write_text(DEPLOYMENT.format(port=port))
        with hub(tmp_path, tmp_path / "hub.yaml", port) as started:
            yield started


def change(folder: Path, before: str, after: str) -> None:
    path = folder / "hub.yaml"
    text = path.read_text()
    assert before in text
    path.write_text(text.replace(before, after))


def audited(running: RunningHub, act: str) -> list[dict[str, Any]]:
    """The audit's details of these acts, newest first."""
    told = running.cli("audit", "list", "--json")
    assert told.code == 0, told.err
    rows = told.json()
    return [row["details"] | {"actor": row["actor"]} for row in rows if row["act"] == act]


def test_a_reload_gives_a_version_and_a_difference(running: RunningHub, tmp_path: Path) -> None:
    change(tmp_path, "order: data.order", "number: data.order")
    told = running.cli("reload", "--check")
    assert (told.code, told.err) == (0, "2 keys changed\n")
    assert told.out.splitlines()[1:] == [
        'routes.orders.map.number: nothing → "data.order"',
        'routes.orders.map.order: "data.order" → nothing',
    ]
    assert "warning: routes.orders.on: no adapter takes messages in" in told.out.splitlines()[0]
    loaded = running.cli("reload", "--json").json()
    assert (loaded["version"]["number"], loaded["version"]["by"]) == (2, "tests")
    assert (loaded["adapters"], loaded["routes"]) == ([], ["orders"])
    [newest, first] = audited(running, "configuration.load")
    assert newest == {
        "actor": "tests",
        "version": 2,
        "hash": loaded["version"]["hash"],
        "adapters": [],
        "routes": ["orders"],
        "changes": [
            {"key": "routes.orders.map.number", "after": "data.order"},
            {"key": "routes.orders.map.order", "before": "data.order"},
        ],
    }
    assert (first["actor"], first["version"], first["changes"]) == ("start", 1, [])
    change(tmp_path, "number: data.order", "order: data.order")
    again = running.cli("reload", "--json").json()
    assert again["version"]["number"] == 3
    assert again["version"]["hash"] == first["hash"]  # the same is written


def test_a_refused_one_says_why_and_the_old_one_goes_on(running: RunningHub, tmp_path: Path) -> None:
    change(tmp_path, "data.order}", "data.ordr}")
    checked = running.cli("reload", "--check")
    told = running.cli("reload")
    assert (checked.code, told.code, told.out) == (2, 2, "")
    place = f"{tmp_path}/hub.yaml:9:"
    assert place in checked.out
    assert "the configuration is refused, the one before it goes on" in told.err
    assert place in told.err
    assert "ordr" in told.err
    [refused] = audited(running, "configuration.refused")
    assert refused["running"] == 1
    assert refused["findings"][-1].startswith(place)
    assert "configuration_refused" in running.log()
    change(tmp_path, "data.ordr}", "data.order}")
    os.kill(running.process.pid, signal.SIGHUP)
    running.process.until(lambda: "configuration_reloaded" in running.log() or None, "reloaded")
    assert audited(running, "configuration.load")[0]["actor"] == "SIGHUP"


def test_a_secret_that_changed_is_named_and_never_shown(running: RunningHub, tmp_path: Path) -> None:
    (tmp_path / "token").write_text("another-token-for-nobody")
    told = running.cli("reload")
    assert (told.code, told.out) == (0, "adapters.erp.token: what ${file:token} stands for\n")
    rows = running.cli("audit", "list", "--json").out
    assert "${file:token}" in rows
    for secret in (SECRET, "another-token-for-nobody"):
        assert secret not in rows + told.err + running.log()


def test_versions_go_on_over_a_restart(tmp_path: Path) -> None:
    (tmp_path / "token").write_text(SECRET)
    with leased_port() as port:
        (tmp_path / "hub.yaml").write_text(DEPLOYMENT.format(port=port))
        with hub(tmp_path, tmp_path / "hub.yaml", port):
            pass
        change(tmp_path, "path: orders", "path: created")
        (tmp_path / "hub.log").unlink()
        with hub(tmp_path, tmp_path / "hub.yaml", port, key="second") as again:
            [newest, _] = audited(again, "configuration.load")
            assert newest["version"] == 2
            changed = [{"key": "routes.orders.to.path", "before": "orders", "after": "created"}]
            assert json.loads(json.dumps(newest["changes"])) == changed
