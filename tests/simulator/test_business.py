"""ERP and WMS: one document per key, and every way in which they fail."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest

from simulator.business import BusinessSystem
from simulator.failure import Failures
from tests.waiting import eventually

TOKEN = "secret"
ORDER = {"reference": "AAC-1", "order": "AAC-1", "yield": "10"}


class Erp:
    """The system with a client beside it."""

    def __init__(self, system: BusinessSystem, session: aiohttp.ClientSession) -> None:
        self.system, self._session = system, session

    async def post(
        self, body: Any, key: str | None = "k1", token: str = TOKEN, path: str = "/api/confirmations"
    ) -> tuple[int, Any]:
        headers = {"Authorization": f"Bearer {token}"} | ({"Idempotency-Key": key} if key else {})
        async with self._session.post(self.system.service.url + path, json=body, headers=headers) as response:
            return response.status, await response.json(content_type=None)

    async def get(self, path: str) -> tuple[int, Any]:
        headers = {"Authorization": f"Bearer {TOKEN}"}
        async with self._session.get(self.system.service.url + path, headers=headers) as response:
            return response.status, await response.json()

    async def fail(self, **how: Any) -> int:
        async with self._session.post(self.system.service.url + "/_control", json=how) as response:
            return response.status


@pytest.fixture
async def erp() -> AsyncIterator[Erp]:
    system = BusinessSystem("erp", token=TOKEN, first_number=100)
    await system.open()
    async with aiohttp.ClientSession() as session:
        yield Erp(system, session)
    await system.close()


async def test_the_same_key_and_body_get_the_same_answer_and_make_one_document(erp: Erp) -> None:
    first = await erp.post(ORDER)
    again = await erp.post(ORDER)
    other = await erp.post({**ORDER, "reference": "AAC-2"}, key="k2")
    assert first == again == (201, {"number": "100", "kind": "confirmations", "idempotency_key": "k1"})
    assert other[1]["number"] == "101"
    counts = {"documents": 2, "doubled": 0, "repeated": 1, "unexpected": 0, "refused": 0, "failed": 0}
    assert erp.system.report() == counts
    await erp.post(ORDER, key="k3")
    assert erp.system.report()["doubled"] == 1


@pytest.mark.parametrize(
    ("body", "path"),
    [({**ORDER, "yield": "11"}, "/api/confirmations"), (ORDER, "/api/goods-movements")],
    ids=["another body", "another kind"],
)
async def test_a_key_used_for_another_document_is_unexpected(erp: Erp, body: Any, path: str) -> None:
    await erp.post(ORDER)
    status, _ = await erp.post(body, path=path)
    assert status == 422
    assert erp.system.report()["unexpected"] == 1
    assert [one.body for one in erp.system.documents] == [ORDER]


async def test_lookup_by_key_says_whether_it_arrived(erp: Erp) -> None:
    assert (await erp.get("/api/documents?idempotency_key=k1"))[0] == 404
    _, made = await erp.post(ORDER)
    assert await erp.get("/api/documents?idempotency_key=k1") == (200, made)


@pytest.mark.parametrize(
    ("arguments", "status"),
    [
        ({"body": ORDER, "token": "wrong"}, 401),
        ({"body": ORDER, "key": None}, 400),
        ({"body": [1]}, 422),
    ],
)
async def test_what_is_no_proper_request_is_refused(erp: Erp, arguments: dict[str, Any], status: int) -> None:
    assert (await erp.post(**arguments))[0] == status
    assert erp.system.report()["refused"] == 1
    assert erp.system.documents == []


async def test_down_answers_503_to_all_until_ok(erp: Erp) -> None:
    await erp.fail(mode="down")
    assert (await erp.post(ORDER))[0] == 503
    assert (await erp.get("/api/documents?idempotency_key=k1"))[0] == 503
    await erp.fail(mode="ok")
    assert (await erp.post(ORDER))[0] == 201


async def test_error500_hits_only_the_document_with_that_value(erp: Erp) -> None:
    await erp.fail(mode="error500", field="order", value="AAC-1")
    assert (await erp.post(ORDER))[0] == 500
    assert (await erp.post({**ORDER, "order": "AAC-2"}, key="k2"))[0] == 201


async def test_reject_says_what_it_was_told(erp: Erp) -> None:
    await erp.fail(mode="reject", field="order", value="AAC-1", text="posting period closed", status=409)
    assert await erp.post(ORDER) == (409, {"title": "posting period closed", "status": 409})


async def test_timeout_takes_the_document_and_never_answers(erp: Erp) -> None:
    await erp.fail(mode="timeout")
    waiting = asyncio.create_task(erp.post(ORDER))
    await eventually(lambda: erp.system.documents)
    assert not waiting.done()
    waiting.cancel()
    await asyncio.wait([waiting])
    await erp.fail(mode="ok")
    assert (await erp.get("/api/documents?idempotency_key=k1"))[0] == 200


async def test_slow_answers_late(erp: Erp) -> None:
    await erp.fail(mode="slow", delay_s=0.2)
    began = asyncio.get_running_loop().time()
    assert (await erp.post(ORDER))[0] == 201
    assert asyncio.get_running_loop().time() - began >= 0.2


@pytest.mark.parametrize(
    "how",
    [{}, {"mode": "gone"}, {"mode": "down", "field": "order"}, {"mode": "down", "for": 3}, {"mode": []}],
)
async def test_a_failure_that_makes_no_sense_is_refused(erp: Erp, how: dict[str, Any]) -> None:
    assert await erp.fail(**how) == 400


def test_a_failure_ends_by_itself() -> None:
    now = 100.0
    failures = Failures(clock=lambda: now)
    failures.tell({"mode": "down", "for_s": 4})
    failures.tell({"mode": "reject", "field": "order", "value": 7})
    assert [one.mode for one in failures.of_all()] == ["down"]
    assert [one.mode for one in failures.of({"order": "7"})] == ["reject"]
    now = 104.0
    assert failures.of_all() == []
    assert failures.of({"order": "8"}) == []
