"""``crossplant demo``: the whole way, from the simulated company's ledger to its business systems."""

import json
import os
import re
import select
import signal
import socket
import subprocess
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest

from gateway.simulated import DROP_ONE
from tests.gateway.commands import ARGV, Done, crossplant
from tests.servers import Process

PLANTS = {"aachen", "brno", "coventry"}
SYSTEMS = {
    *("erp", "wms", "qms", "cmms", "tms", "crm", "planning", "portal"),
    *("nordstahl", "lakeshore"),
}
ALARMING = re.compile(r"traceback|exception|\berror\b|critical|warning", re.IGNORECASE)


def demo(*arguments: str | Path, env: Mapping[str, str] | None = None) -> Done:
    """A demo to its end, on a free port."""
    ended = subprocess.run(
        [*ARGV, "demo", "--port", "0", *(str(one) for one in arguments)],
        env={**os.environ, **(env or {})},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=170,
        check=False,
    )
    return Done(code=ended.returncode, out=ended.stdout, err=ended.stderr)


@pytest.mark.timeout(180)
def test_forty_seconds_reach_every_system_and_lose_nothing() -> None:
    done = demo("--for", "40", "--json")
    assert done.code == 0, done.err
    told = json.loads(done.out.splitlines()[-1])
    assert (told["lost"], told["undelivered"], told["duplicated"], told["unexpected"]) == (0, 0, 0, 0)
    # every protocol and format is heard, in all plants
    accepted = told["accepted"]
    assert all(accepted["by_adapter"][kind] > 0 for kind in ("opcua", "mqtt", "sftp", "files", "rest"))
    assert all(accepted["by_format"][kind] > 0 for kind in ("edifact", "x12", "csv", "json"))
    assert sum(accepted["by_format"].values()) == sum(accepted["by_adapter"].values())
    assert told["plants"] == ["aachen", "brno", "coventry"]
    # every system and partner gets its documents, partners also their answers
    assert set(told["delivered_by_system"]) == SYSTEMS
    assert all(number > 0 for number in told["delivered_by_system"].values()), told["delivered_by_system"]
    assert all(told["delivered"][f"answers-to-{partner}"] > 0 for partner in ("nordstahl", "lakeshore"))
    # what goes wrong on purpose is visible, the rest has drained
    assert told["dead_lettered"] >= 1
    assert told["parked"] >= 1
    assert told["backlog"] == 0
    latency = told["latency_ms"]
    assert 0 < latency["p50"] <= latency["p95"] <= latency["p99"] < 30_000
    # what a newcomer sees
    assert re.search(r"^console: http://127\.0\.0\.1:\d+/$", done.out, re.MULTILINE)
    assert re.search(r"^key: cp_\w+", done.out, re.MULTILINE)
    assert not ALARMING.search(done.err), done.err


def test_one_event_that_is_dropped_is_found_missing() -> None:
    done = demo("--for", "5", "--json", env={DROP_ONE: "1"})
    assert done.code == 1
    assert json.loads(done.out.splitlines()[-1])["lost"] == 1
    assert "1 lost, for example adapter brno-floor" in done.err


@contextmanager
def started(folder: Path) -> Iterator[Process]:
    """A demo without an end, leading a group of processes as a terminal's foreground job does."""
    process = Process(
        argv=["setsid", *ARGV, "demo", "--port", "0", "--data", str(folder / "data")],
        out_path=folder / "out",
        log_path=folder / "err",
    )
    process.start()
    try:
        yield process
    finally:
        process.end()


def test_ctrl_c_ends_it_in_order_the_api_answers_meanwhile_and_it_goes_on_later(tmp_path: Path) -> None:
    with started(tmp_path) as process:
        key = process.until(
            lambda: re.search(r"^key: (\S+)$", (tmp_path / "out").read_text(), re.MULTILINE), "ready"
        )
        url = re.search(r"^console: (\S+)/$", (tmp_path / "out").read_text(), re.MULTILINE)
        assert url is not None
        env = {"CROSSPLANT_URL": url[1], "CROSSPLANT_API_KEY": key[1]}
        process.until(lambda: crossplant("events", "--json", env=env).out or None, "showing events")
        for service in ("production-orders", "inventory/balances"):
            asked = urllib.request.Request(f"{url[1]}/v1/{service}?limit=200")
            asked.add_header("Authorization", f"Bearer {key[1]}")
            process.until(partial(_plants, asked), f"showing the {service} of all plants")
        os.killpg(process.pid, signal.SIGINT)
        assert process.running is not None
        assert process.running.wait(60) == 0, (tmp_path / "err").read_text()
    assert "lost 0" in (tmp_path / "err").read_text()
    assert not ALARMING.search((tmp_path / "err").read_text())
    with pytest.raises(OSError, match="refused"):
        urllib.request.urlopen(f"{url[1]}/livez", timeout=5)
    again = demo("--for", "10", "--json", "--data", tmp_path / "data")
    assert again.code == 0, again.err
    told = json.loads(again.out.splitlines()[-1])
    assert (told["lost"], told["undelivered"], told["duplicated"], told["unexpected"]) == (0, 0, 0, 0)
    assert told["delivered_by_system"]["erp"] > 0


def test_a_company_that_ends_by_itself_is_told(tmp_path: Path) -> None:
    with started(tmp_path) as process:
        process.until(lambda: "key: " in (tmp_path / "out").read_text() or None, "ready")
        (company,) = _children(process.pid)
        os.kill(company, signal.SIGKILL)
        assert process.running is not None
        assert process.running.wait(60) == 1
    assert "the simulated company ended by itself" in (tmp_path / "err").read_text()


def test_the_company_does_not_outlive_a_hub_that_is_killed(tmp_path: Path) -> None:
    with started(tmp_path) as process:
        process.until(lambda: "key: " in (tmp_path / "out").read_text() or None, "ready")
        (company,) = _children(process.pid)
        end = os.pidfd_open(company)
        try:
            process.kill9()
            ended, _, _ = select.select([end], [], [], 30)
        finally:
            os.close(end)
        assert ended


def _plants(asked: urllib.request.Request) -> set[str] | None:
    """The plants whose things a normalised service shows, once it shows those of all."""
    with urllib.request.urlopen(asked, timeout=10) as answer:
        found = {one["plant"] for one in json.load(answer)["items"] if one["item"] and one["plant"]}
    return found if found == PLANTS else None


def _children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def test_a_taken_port_is_told(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = crossplant("demo", "--port", str(port), "--for", "5")
    assert done.code == 2
    assert f"port {port} of 127.0.0.1 is taken" in done.err
