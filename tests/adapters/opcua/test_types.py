"""Values of every built-in type, as another stack encodes them."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from adapters.conformance.proxy import FaultProxy
from tests.adapters.opcua import values_server
from tests.adapters.opcua.running import Running, options, running
from tests.servers import Process
from tests.waiting import eventually

AT = "2026-03-31T06:00:00.123456Z"

EXPECTED: dict[str, Any] = {
    "boolean": True,
    "sbyte": -5,
    "int16": -12,
    "int32": -12,
    "int64": -(2**63),
    "uint64": 2**64 - 1,
    "float": 0.5,
    "double": -0.1,
    "text": "00042",
    "empty": "",
    "datetime": AT,
    "guid": "12345678-1234-5678-1234-567812345678",
    "bytes": "AP8=",
    "xml": "<a/>",
    "node": "ns=2;s=x",
    "name": "2:x",
    "localized": "Öl",
    "array": [1, 2, 3],
    "none": [],
    "texts": ["a", "b"],
    "matrix": [[1, 2, 3], [4, 5, 6]],
}
BAD = {"nan": None, "infinity": None, "holes": [1.0, None]}
REFUSED = ("struct", "cube")


@pytest.fixture
def values_url(tmp_path: Path, free_port: Callable[[], int]) -> Iterator[str]:
    port = free_port()
    process = Process(
        argv=[sys.executable, values_server.__file__, str(port)],
        out_path=tmp_path / "values.out",
        log_path=tmp_path / "values.log",
    )
    process.start()
    process.until(lambda: "ready" in process.out_path.read_text() or None, "listening")
    yield f"opc.tcp://127.0.0.1:{port}/values"
    process.end()


async def test_values_of_every_type_arrive_exactly(values_url: str, tmp_path: Path) -> None:
    names = [*EXPECTED, *BAD, *REFUSED]
    tags = [{"node": f"nsu={values_server.URI};s={name}", "tag": name} for name in names]
    async with running(options(values_url, *tags), tmp_path) as run:
        await eventually(lambda: len(run.events) + len(run.faults) >= len(names) + 1)
        arrived = {name: run.measured(name)[0] for name in (*EXPECTED, *BAD)}
        for name, value in EXPECTED.items():
            data = arrived[name]
            assert (name, data["value"], type(data["value"])) == (name, value, type(value))
            assert data["quality"] == "good"
        assert {name: arrived[name]["value"] for name in BAD} == BAD
        assert {arrived[name]["quality"] for name in BAD} == {"bad"}
        assert arrived["int32"]["source_time"] == AT
        check_refused(run)


async def test_a_password_in_clear_must_be_asked_for(values_url: str, tmp_path: Path) -> None:
    tag = {"node": f"nsu={values_server.URI};s=int32", "tag": "int32"}
    user = {"username": "u", "password": "p"}
    async with running(options(values_url, tag, **user), tmp_path) as run:
        await eventually(lambda: "the password in clear text" in run.hub.context.health.detail)


async def test_a_policy_that_is_not_offered_is_said(values_url: str, tmp_path: Path) -> None:
    async with running(options(values_url, "x", security={}), tmp_path) as run:
        await eventually(lambda: "does not offer Basic256Sha256" in run.hub.context.health.detail)
        assert "it offers None" in run.hub.context.health.detail


COUNTER = {"node": f"nsu={values_server.URI};s=counter", "tag": "counter", "sampling_interval": "0ms"}


async def test_a_cut_loses_nothing_with_this_stack_either(values_url: str, tmp_path: Path) -> None:
    async with FaultProxy("127.0.0.1", int(values_url.split(":")[2].partition("/")[0])) as proxy:
        url = f"opc.tcp://{proxy.host}:{proxy.port}/values"
        async with running(options(url, COUNTER, queue_size=1000), tmp_path) as run:
            for _ in range(2):
                await run.comes_anew("counter", 20)
                proxy.cut()
                await eventually(lambda: not run.hub.context.health.connected)
                await run.connected()
            await run.comes_anew("counter", 20)
            values = run.values("counter")
            assert values == list(range(values[0], values[0] + len(values)))
            assert run.gaps() == []


async def test_the_next_process_goes_on_where_the_last_one_stopped(values_url: str, tmp_path: Path) -> None:
    settings = options(values_url, COUNTER, queue_size=1000)
    async with running(settings, tmp_path) as run:
        await run.comes_anew("counter", 20)
    async with running(settings, tmp_path, hub=run.hub) as later:
        await later.comes_anew("counter", 20)
        values = later.values("counter")
        assert values == list(range(values[0], values[0] + len(values)))
        assert later.gaps() == []


def check_refused(run: Running) -> None:
    assert sorted(str(fault.context["tag"]) for fault in run.faults) == sorted(REFUSED)
    messages = {fault.context["tag"]: fault.message for fault in run.faults}
    assert "a structure (i=886) has no form in telemetry" in messages["struct"]
    assert "more than two dimensions" in messages["cube"]
