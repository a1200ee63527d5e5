"""Changes of crosswalk rows are events: each that has effect, once, whatever happens in between."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from canonical import catalogue
from router import crosswalk
from router.crosswalk import Row
from tests.gateway.hubs import Gate, opened
from tests.gateway.test_crosswalks import APRIL, MAY, added

CHANGED = "masterdata.crosswalk.changed"
HEADER = "domain,system,value,canonical"


async def told(gate: Gate) -> list[dict[str, Any]]:
    """The events, oldest first; each fits the catalogue."""
    client = await gate.client("viewer")
    events = (await client.get(f"/v1/events?type={CHANGED}&limit=500")).json()["items"]
    for each in events:
        assert catalogue.validate(CHANGED, each["data"]) == []
    return list(events)


def brief(events: list[dict[str, Any]]) -> list[tuple[Any, ...]]:
    """(key, version, operation, canonical) of each."""
    return [
        (data["key"], data["version"], data["operation"], data["snapshot"]["canonical"])
        for data in (each["data"] for each in events)
    ]


async def test_a_row_is_told_from_its_beginning_to_its_end(gate: Gate) -> None:
    steward = await gate.client("steward")
    await added(steward, valid_from=APRIL)
    await steward.post("/v1/crosswalks/1/retire", json={"why": "new label", "valid_to": MAY})
    await steward.post("/v1/crosswalks/1/retire", json={"why": "it never held", "never": True})
    created, updated, deleted = await told(gate)
    assert [each["data"]["operation"] for each in (created, updated, deleted)] == [
        *("created", "updated", "deleted")
    ]
    assert (created["source"], created["subject"]) == ("/hub/crosswalks", "crosswalk-1")
    assert created["data"]["effective_from"] == APRIL
    assert created["data"]["steward"] == "test 0"
    assert "effective_to" not in created["data"]
    snapshot = created["data"]["snapshot"]
    assert (snapshot["domain"], snapshot["system"], snapshot["value"]) == ("item", "erp", "V-1")
    assert (updated["data"]["effective_to"], updated["data"]["snapshot"]["status"]) == (MAY, "retired")


async def test_a_draft_is_told_once_it_is_approved(gate: Gate) -> None:
    steward = await gate.client("steward")
    await added(steward, status="draft")
    await added(steward, status="draft", value="V-2")
    await steward.post("/v1/crosswalks/2/retire", json={"why": "a slip of the pen"})
    assert await told(gate) == []
    await steward.post("/v1/crosswalks/1/approve")
    assert brief(await told(gate)) == [("crosswalk-1", 2, "created", "A-1")]


async def test_a_plants_row_is_the_plants(gate: Gate) -> None:
    await added(await gate.client("steward"), plant="brno")
    await added(await gate.client("steward"), value="V-2")
    assert [each.get("plantid") for each in await told(gate)] == ["brno", None]
    limited = await gate.client("viewer", plants=["brno"])
    seen = (await limited.get(f"/v1/events?type={CHANGED}")).json()["items"]
    assert [each["data"]["key"] for each in seen] == ["crosswalk-1"]


async def test_files_are_told_when_they_say_something_new(tmp_path: Path) -> None:
    file, seen = tmp_path / "items.csv", []
    for second in ("A-2", "A-2", "A-3"):
        file.write_text(f"{HEADER}\nitem,erp,V-1,A-1\nitem,erp,V-2,{second}\n")
        async with opened(tmp_path / "data", crosswalks=[file]) as gate:
            recorded, _ = await gate.hub.journal.events(0)
            data = [each.event.data for each in recorded if each.event.type == catalogue.full_name(CHANGED)]
            seen.append([(each["operation"], each["snapshot"]["canonical"]) for each in data])
    first, again, changed = seen
    assert sorted(first) == [("created", "A-1"), ("created", "A-2")]
    assert again == first
    assert sorted(changed[2:]) == [("created", "A-3"), ("deleted", "A-2")]


async def test_what_a_crash_kept_from_being_told_is_told_once(gate: Gate) -> None:
    row = Row(domain="item", system="erp", value="V-1", canonical="A-1")
    await gate.hub.journal.write(lambda t: crosswalk.add(t, row))
    assert await told(gate) == []
    await asyncio.gather(*(gate.hub.crosswalks.look() for _ in range(5)))
    await gate.hub.crosswalks.look()
    assert brief(await told(gate)) == [("crosswalk-1", 1, "created", "A-1")]


async def test_a_change_that_is_refused_is_not_told(gate: Gate) -> None:
    steward = await gate.client("steward")
    await added(steward)
    with pytest.raises(AssertionError, match="409"):
        await added(steward, canonical="B-1")
    assert len(await told(gate)) == 1
