"""The company as a process, met over its protocols by other clients."""

import asyncio
import subprocess

import pytest

from tests.simulator.conftest import StartCompany
from tests.simulator.fakehub import KEY
from tests.simulator.minihub import MiniHub
from tests.waiting import eventually

FAST = ("--pace", "4")


def _ended_within(process: subprocess.Popen[bytes], seconds: float) -> int:
    return process.wait(seconds)


async def test_all_protocols_bring_what_the_ledger_says_and_nothing_is_lost(
    start_company: StartCompany,
) -> None:
    company = start_company(*FAST)
    async with MiniHub(company.env) as hub:
        assert await company.tell("/_control/hub", url=hub.url, key=KEY) == 200
        await eventually(lambda: len(hub.events) > 150 and hub.malformed and len(hub.webhooks) > 2, 30)
        assert await company.tell("/_control/stop-producing") == 200
        hub.take_webhooks()
        account = await company.ledger(wait_s=1)
    assert account["lost"] == 0, account["lost_facts"]
    assert account["unexpected"] == 0
    assert account["producing"] is False
    assert set(account["sent"]["by_adapter"]) == {"opcua", "mqtt", "rest", "sftp", "files"}
    assert account["sent"]["by_format"].keys() == {"value", "json", "csv", "edifact", "x12"}
    assert account["shown"] >= account["safe"] > 100
    assert account["on_purpose"]["malformed"] == len(hub.malformed)
    assert hub.units == {
        "Press1.Temperature": "CEL",
        "Press1.Pressure": "BAR",
        "Press2.Temperature": "CEL",
        "Press2.Pressure": "BAR",
    }
    types = {one["type"] for one in hub.events}
    assert len(types) == 6, types


async def test_a_dropped_event_is_the_one_that_is_lost(start_company: StartCompany) -> None:
    company = start_company(*FAST, "--drop-one")
    async with MiniHub(company.env) as hub:
        await company.tell("/_control/hub", url=hub.url, key=KEY)
        await eventually(lambda: len(hub.events) > 60, 30)
        await company.tell("/_control/stop-producing")
        hub.take_webhooks()
        account = await company.ledger(wait_s=1)
    assert account["lost"] == 1, account["lost_facts"]
    (lost,) = account["lost_facts"]
    assert lost["adapter"] == "brno-floor"
    assert lost["type"] == "telemetry.measurement.recorded"


async def test_what_the_hub_lacks_is_lost(start_company: StartCompany) -> None:
    company = start_company(*FAST)
    withheld = {"aachen-lines", "aachen-mes-orders", "brno-floor"}
    async with MiniHub(company.env) as hub:
        await company.tell("/_control/hub", url=hub.url, key=KEY)
        await eventually(lambda: len(hub.events) > 30, 30)
        hub.to_withhold = set(withheld)
        await eventually(lambda: not hub.to_withhold, 30)
        await company.tell("/_control/stop-producing")
        hub.take_webhooks()
        account = await company.ledger(wait_s=2)
    assert {one["adapter"] for one in account["lost_facts"]} == withheld
    assert account["lost"] == len(withheld)


@pytest.mark.parametrize("producing", [True, False])
async def test_sigterm_ends_it_without_a_word(start_company: StartCompany, producing: bool) -> None:
    company = start_company(*(["--start"] if producing else []))
    running = company.process.running
    assert running is not None
    running.terminate()
    assert await asyncio.to_thread(_ended_within, running, 15) == 0
    assert company.process.log_path.read_text() == ""


async def test_it_ends_with_its_parent(start_company: StartCompany) -> None:
    company = start_company("--with-stdin")
    running = company.process.running
    assert running is not None
    assert running.stdin is not None
    running.stdin.close()
    assert await asyncio.to_thread(_ended_within, running, 15) == 0


async def test_control_refuses_what_it_does_not_understand(start_company: StartCompany) -> None:
    company = start_company()
    assert await company.tell("/_control/hub", url="nowhere") == 400
    account = await company.ledger()
    assert account["settled"] is False
    assert "not known" in account["problem"]
