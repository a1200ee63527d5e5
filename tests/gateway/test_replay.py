"""A replay delivers history again: in order per key, under the same keys, and disturbs nothing."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from canonical.errors import Invalid, TransientError
from gateway import audit
from gateway.replay.sending import Outlet
from tests.gateway.hubs import Gate, event, opened, order_data
from tests.gateway.ledger import Ledger, install
from tests.waiting import eventually

SECTIONS: dict[str, Any] = {
    "adapters": {"erp": {"kind": "ledger"}},
    "routes": {
        "orders": {
            "on": ["production.order.created"],
            "when": "data.item != 'none'",
            "map": {"order": "data.order", "n": "event.id"},
            "to": "erp",
            "order": "key",
        }
    },
}
ALL = {"route": "orders", "since": "2020-01-01T00:00:00Z", "rate": 1000}


@pytest.fixture
async def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Gate]:
    install(monkeypatch)
    async with opened(tmp_path / "data", **SECTIONS) as gate:
        yield gate


async def fill(gate: Gate, number: int, keys: int = 5, item: str = "A-1") -> list[int]:
    """Events of a few keys in turns; their positions, once the route has settled them."""
    known = gate.hub.journal.head
    made = [
        event(known + n, partitionkey=f"K{n % keys}", data=order_data(f"K{n % keys}", item=item))
        for n in range(number)
    ]
    positions = await gate.record(*made)
    await eventually(lambda: gate.hub.engines["orders"].status.cursor >= positions[-1])
    return positions


async def begin(client: httpx.AsyncClient, **more: Any) -> str:
    """Where its progress is."""
    begun = await client.post("/v1/replays", json={**ALL, **more})
    assert begun.status_code == 202, begun.text
    return str(begun.headers["location"])


async def ended(client: httpx.AsyncClient, where: str) -> dict[str, Any]:
    async def look() -> dict[str, Any] | None:
        found: dict[str, Any] = (await client.get(where)).json()
        return found if found["state"] != "running" else None

    progress: dict[str, Any] | None = await eventually(look)
    assert progress is not None
    return progress


def counts(found: dict[str, Any]) -> dict[str, int]:
    return {kind: number for kind, number in found["result"]["counts"].items() if number}


def by_order(got: list[tuple[str, Any]]) -> dict[str, list[str]]:
    orders: dict[str, list[str]] = {}
    for _, payload in got:
        orders.setdefault(payload["order"], []).append(payload["n"])
    return orders


async def test_everything_comes_again_in_order_under_the_same_keys_and_nothing_moves(site: Gate) -> None:
    await fill(site, 60)
    left_out = await fill(site, 3, item="none")
    first, cursors = list(Ledger.got), await site.hub.journal.cursors()
    client = await site.client("integrator")
    found = await ended(client, await begin(client))
    assert (found["state"], found["reached"], counts(found)) == (
        "done",
        left_out[-1],
        {"delivered": 60, "left_out": 3},
    )
    again = Ledger.got[60:]
    assert sorted(key for key, _ in again) == sorted(key for key, _ in first)
    assert by_order(again) == by_order(first)
    assert all(numbers == sorted(numbers) for numbers in by_order(again).values())
    assert (await site.hub.journal.cursors())["orders"] >= cursors["orders"]
    notices = (await client.get("/v1/events?type=integration.message.replayed&limit=100")).json()["items"]
    assert len(notices) == 60
    assert {one["data"]["outcome"] for one in notices} == {"delivered"}
    [entry] = await audit.page(site.hub.journal, act="replay.begin")
    assert (entry.subject, entry.details["route"], entry.details["as_new"]) == ("replay/1", "orders", False)
    way = (await client.get("/v1/events/1/timeline")).json()["routes"][0]
    assert (way["state"], way["attempts"]) == ("delivered", 1)


async def test_a_replay_of_a_route_that_batches_makes_batches_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(monkeypatch)
    batched = {**SECTIONS["routes"]["orders"], "batch": {"size": 10, "within": "50ms"}}
    async with opened(tmp_path / "data", **{**SECTIONS, "routes": {"orders": batched}}) as gate:
        await fill(gate, 40)
        first = [one for _, bodies in Ledger.got for one in bodies]
        requests = len(Ledger.got)
        assert requests < 40
        client = await gate.client("integrator")
        found = await ended(client, await begin(client))
        assert (found["state"], counts(found)) == ("done", {"delivered": 40})
        assert [one for _, bodies in Ledger.got[requests:] for one in bodies] == first
        assert len(Ledger.got) == requests + 4


async def test_as_new_takes_keys_of_its_own(site: Gate) -> None:
    await fill(site, 10)
    client = await site.client("integrator")
    await ended(client, await begin(client, as_new=True))
    await ended(client, await begin(client, as_new=True))
    keys = [key for key, _ in Ledger.got]
    assert len(set(keys)) == 30


async def test_behind_one_that_fails_its_key_is_held_back_and_the_rest_goes_on(
    site: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    positions = await fill(site, 20)
    bad = f"{3:06d}"  # the first of key K3
    monkeypatch.setattr(
        Ledger,
        "refuse",
        staticmethod(lambda payload: Invalid("unknown") if payload["n"] == bad else None),
    )
    client = await site.client("integrator")
    where = await begin(client)
    found = await ended(client, where)
    assert counts(found) == {"delivered": 16, "failed": 1, "held_back": 3}
    told = (await client.get(f"{where}/failures")).json()["items"]
    assert [(one["position"], one["code"]) for one in told] == [
        (positions[3], "invalid"),
        *((positions[n], "held_back") for n in (8, 13, 18)),
    ]


async def test_what_waits_in_a_lane_is_passed_over(site: Gate, monkeypatch: pytest.MonkeyPatch) -> None:
    refuse: Callable[[Any], Any] = lambda payload: Invalid("no") if payload["order"] == "K1" else None  # noqa: E731
    monkeypatch.setattr(Ledger, "refuse", staticmethod(refuse))
    await fill(site, 10)
    monkeypatch.setattr(Ledger, "refuse", staticmethod(lambda _: None))
    client = await site.client("integrator")
    found = await ended(client, await begin(client))
    assert counts(found) == {"delivered": 8, "passed_over": 2}
    assert "K1" not in by_order(Ledger.got)


async def test_a_target_that_is_away_is_waited_for(site: Gate, monkeypatch: pytest.MonkeyPatch) -> None:
    await fill(site, 10)
    away = [TransientError("refused", outage=True)] * 3
    monkeypatch.setattr(Ledger, "refuse", staticmethod(lambda _: away.pop() if away else None))
    client = await site.client("integrator")
    found = await ended(client, await begin(client))
    assert counts(found) == {"delivered": 10}
    assert by_order(Ledger.got[10:]) == by_order(Ledger.got[:10])


async def test_stop_resume_and_a_restart_lose_and_forget_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(monkeypatch)
    async with opened(tmp_path / "data", **SECTIONS) as site:
        await fill(site, 100)
        client = await site.client("integrator")
        where = await begin(client, rate=20)
        await eventually(lambda: len(Ledger.got) > 100)
        stopped = (await client.post(f"{where}/stop")).json()
        assert stopped["state"] == "stopped"
        assert stopped["reached"] < 100
        assert stopped["result"]["counts"]["delivered"] == stopped["reached"]
        seen = len(Ledger.got)
        assert (await client.post(f"{where}/stop")).status_code == 409
        resumed = (await client.post(f"{where}/resume")).json()
        assert resumed["state"] == "running"
        await eventually(lambda: len(Ledger.got) > seen)
    async with opened(tmp_path / "data", **SECTIONS) as site:
        number = int(where.rpartition("/")[2])

        async def done() -> bool:
            return (await site.hub.replays.show(number)).state == "done"

        await eventually(done)
        assert (await site.hub.replays.show(number)).reached == 100
        again = {payload["n"] for _, payload in Ledger.got[100:]}
        assert again == {f"{n:06d}" for n in range(100)}
        assert len({key for key, _ in Ledger.got}) == 100  # what came twice came under its own key


async def test_a_route_that_is_gone_stops_it_and_says_so(site: Gate) -> None:
    await fill(site, 40)
    client = await site.client("integrator")
    where = await begin(client, rate=5)
    await eventually(lambda: len(Ledger.got) > 40)
    await site.hub.reload(site.hub.deployment.model_copy(update={"routes": {}}), by="test")
    found = await ended(client, where)
    assert (found["state"], found["problem"]) == ("stopped", "route 'orders' does not run")


async def test_the_limit_of_the_target_holds_for_a_replay_beside_its_route(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(monkeypatch)
    limited = {**SECTIONS, "adapters": {"erp": {"kind": "ledger", "rate": "100/s"}}}
    async with opened(tmp_path / "data", **limited) as site:
        await fill(site, 30)
        asked: list[int] = []
        outlet = site.hub.routing.outlet

        def watched(name: str) -> Outlet:
            found = outlet(name)
            assert found.share is not None
            took = found.share.took

            def counted(number: int) -> None:
                asked.append(number)
                took(number)

            monkeypatch.setattr(found.share, "took", counted)
            return found

        monkeypatch.setattr(site.hub.routing, "outlet", watched)
        client = await site.client("integrator")
        found = await ended(client, await begin(client))
        assert counts(found) == {"delivered": 30}
        assert sum(asked) == 30  # each asked the limit, a burst at a time
        assert max(asked) <= 10
