"""Values, states and faults, from a server that is not ours."""

import asyncio
from datetime import datetime
from pathlib import Path

from adapters.opcua.config import OpcuaConfig
from tests.adapters.opcua.running import EQUIPMENT, LINE, options, running
from tests.servers import OpcuaPeer, StartOpcuaPeer
from tests.waiting import eventually

STATE = {"node": f"{LINE}state", "tag": "state", "states": {"1": "idle", "2": "execute", "3": "stopped"}}
SERIAL = {"node": f"{LINE}serial", "tag": "serial"}


async def test_a_value_becomes_a_measurement(machine: OpcuaPeer, tmp_path: Path) -> None:
    async with running(options(machine.url, "temperature"), tmp_path) as run:
        await asyncio.to_thread(machine.tell, "set temperature 21.5")
        await run.comes("temperature", 21.5)
        await asyncio.to_thread(machine.tell, "release temperature")
        event = next(event for event in run.events if event.data.get("value") == 21.5)
    assert event.type == "com.crossplant.telemetry.measurement.recorded.v1"
    assert (event.subject, event.partitionkey, event.plantid) == (EQUIPMENT, f"E:{EQUIPMENT}", "test")
    assert event.time == datetime.fromisoformat(event.data["source_time"])
    assert event.data == {
        "tag": "temperature",
        "value": 21.5,
        "uom": "CEL",
        "quality": "good",
        "source_time": event.data["source_time"],
    }
    assert event.srcmsgid in {raw.id for raw in run.hub.committed}


async def test_a_units_option_beats_the_servers(machine: OpcuaPeer, tmp_path: Path) -> None:
    tag = {"node": "nsu=urn:peer:machine;s=temperature", "tag": "t", "uom": "FAH"}
    async with running(options(machine.url, tag, "counter"), tmp_path) as run:
        await eventually(lambda: run.measured("t") and run.measured("counter"))
        assert run.measured("t")[0]["uom"] == "FAH"
        assert run.measured("counter")[0]["uom"] == "C62"


async def test_text_that_looks_like_a_number_stays_text(machine: OpcuaPeer, tmp_path: Path) -> None:
    async with running(options(machine.url, SERIAL, "running"), tmp_path) as run:
        await run.comes("serial", "000123")
        await run.comes("running", value=True)


async def test_a_bad_status_is_a_bad_measurement(machine: OpcuaPeer, tmp_path: Path) -> None:
    async with running(options(machine.url, "temperature"), tmp_path) as run:
        await asyncio.to_thread(machine.tell, "status temperature BadSensorFailure")
        await eventually(lambda: any(data["quality"] == "bad" for data in run.measured("temperature")))
        await asyncio.to_thread(machine.tell, "release temperature")
        bad = next(data for data in run.measured("temperature") if data["quality"] == "bad")
    assert bad["status_code"] == 0x808C0000


async def test_a_state_tag_tells_each_change_once(still: OpcuaPeer, tmp_path: Path) -> None:
    await asyncio.to_thread(still.tell, "set state 1")
    async with running(options(still.url, STATE), tmp_path) as run:
        await eventually(lambda: run.of("equipment.state.changed"))
        for count, raw in enumerate(("2", "2", "3", "1"), start=1):
            await asyncio.to_thread(still.tell, f"set state {raw}")
            await eventually(lambda: len(run.of("equipment.state.changed")) >= max(2, count))  # noqa: B023
        changes = [event.data for event in run.of("equipment.state.changed")]
    assert [(c["previous"], c["state"], c["raw_state"]) for c in changes] == [
        (None, "idle", 1),
        ("idle", "execute", 2),
        ("execute", "stopped", 3),
        ("stopped", "idle", 1),
    ]


async def test_a_state_that_nobody_named_is_invalid(still: OpcuaPeer, tmp_path: Path) -> None:
    await asyncio.to_thread(still.tell, "set state 1")
    async with running(options(still.url, STATE), tmp_path) as run:
        await eventually(lambda: run.events)
        await asyncio.to_thread(still.tell, "set state 7")
        fault = (await eventually(lambda: run.faults))[0]
    assert (fault.code, fault.context["tag"]) == ("unmapped_state", "state")
    assert "7 is none of its states" in fault.message


async def test_unknown_nodes_do_not_hurt_the_rest(machine: OpcuaPeer, tmp_path: Path) -> None:
    nowhere = {"node": "nsu=urn:nowhere;s=x", "tag": "nowhere"}
    async with running(options(machine.url, "vanished", nowhere, "counter"), tmp_path) as run:
        await run.comes_anew("counter")
        assert run.measured("vanished")[0]["status_code"] == 0x80340000
        assert run.measured("nowhere")[0]["quality"] == "bad"
        assert run.hub.context.health.detail == "1 of 3 tags are watched; refused: vanished, nowhere"
        await run.comes_anew("counter", 10)
        assert len(run.measured("vanished")) == 1  # written down once, not at every attempt


async def test_operation_limits_are_honoured(start_opcua_peer: StartOpcuaPeer, tmp_path: Path) -> None:
    peer = start_opcua_peer(items=250, max_items=40, interval=200)
    names = [f"item-{number:04d}" for number in range(1, 251)]
    tags = [{"node": LINE + name, "tag": name} for name in names]
    async with running(options(peer.url, *tags), tmp_path) as run:
        await eventually(lambda: {event.data.get("tag") for event in run.events} >= set(names), 20.0)
        await asyncio.to_thread(peer.restart)
        await run.comes_anew("item-0250", timeout_s=20.0)
        assert run.hub.context.health.detail == "250 of 250 tags are watched"


async def test_many_values_of_one_notification_are_one_message(
    start_opcua_peer: StartOpcuaPeer, tmp_path: Path
) -> None:
    peer = start_opcua_peer(items=100, interval=100)
    tags = [{"node": f"{LINE}item-{number:04d}", "tag": f"i{number}"} for number in range(1, 101)]
    async with running(options(peer.url, *tags), tmp_path) as run:
        await eventually(lambda: len(run.of("telemetry.measurement.recorded")) >= 300)
        values = [raw for raw in run.hub.committed if raw.attributes.get("count")]
        assert len(values) <= 6


async def test_tags_come_from_a_file(machine: OpcuaPeer, tmp_path: Path) -> None:
    path = tmp_path / "tags.csv"
    path.write_text(
        "node,tag,equipment,uom,sampling_interval,deadband,states\n"
        f"nsu=urn:peer:machine;s=temperature,temp,{EQUIPMENT},,100ms,0.1,\n"
        f"{LINE}state,state,,,,,1=idle|2=execute|3=stopped\n"
    )
    settings: OpcuaConfig = options(machine.url, tags_file=str(path))
    async with running(settings, tmp_path) as run:
        await eventually(lambda: run.measured("temp") and run.of("equipment.state.changed"))


async def test_a_full_queue_is_written_down_as_a_gap(
    start_opcua_peer: StartOpcuaPeer, tmp_path: Path
) -> None:
    peer = start_opcua_peer(interval=20)
    settings = options(
        peer.url, "counter", queue_size=3, sampling_interval="20ms", publishing_interval="500ms"
    )
    async with running(settings, tmp_path) as run:
        await eventually(lambda: run.gaps())
        gap = run.gaps()[0]
    assert (gap["reason"], gap["tags"]) == ("queue_overflow", ["counter"])
    assert gap["from"] < gap["to"]
