"""Faults 16 and 18 of the claim folder alone: full, read-only, gone, while the journal's disk works."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import pytest

from router.journal.claimcheck import FOLDER, claimed
from tests.faults.rig import SECRET, Fact, Plant, body_of, facts
from tests.faults.test_disk import ORDERS, ask, fill, finish, running, well
from tests.servers.mounts import Disk
from tests.waiting import eventually

pytestmark = [pytest.mark.timeout(240), pytest.mark.requires_server("mount")]

Fault = Literal["full", "read-only", "gone"]
EVERY: tuple[Fault, ...] = ("full", "read-only", "gone")
LARGE = "x" * 1_010_000  # over journal.claim_over
SIZE_MB = 12


class Claims:
    """A hub's claim folder, on a disk of its own unless it is to be gone."""

    def __init__(self, path: Path, fault: Fault) -> None:
        self.path, self._fault = path, fault
        self._hog, self._aside = path / "hog", path.with_name("aside")
        self._disk = Disk(mount=path, size_mb=SIZE_MB) if fault != "gone" else None

    @contextmanager
    def there(self) -> Iterator[Claims]:
        """Its disk is mounted for so long."""
        if self._disk is None:
            yield self
            return
        self._disk.start()
        try:
            yield self
        finally:
            self._disk.stop()

    def fail(self) -> None:
        """From now on nothing can be written to it."""
        match self._fault:
            case "full":
                fill(self._hog)
            case "read-only":
                assert self._disk is not None
                self._disk.remount("ro")
            case "gone":
                self.path.rename(self._aside)

    def mend(self) -> None:
        """All that lay in it lies in it."""
        match self._fault:
            case "full":
                self._hog.unlink()
            case "read-only":
                assert self._disk is not None
                self._disk.remount("rw")
            case "gone":
                self._aside.rename(self.path)


async def post_large(plant: Plant, fact: Fact) -> tuple[int, Any]:
    """(status, answer) for a message whose body is to lie in the folder."""
    body = {**body_of(fact), "text": LARGE}
    return await plant.hub.ask("POST", "/v1/webhooks/hook", key=SECRET, body=body)


def whole(plant: Plant, many: int) -> None:
    """So many bodies lie in the folder, each referred to, and nothing else does."""
    data = plant.folder / "data"
    references = claimed(data / "journal.db")
    assert len(references) == many
    assert sorted(path.name for path in (data / FOLDER).iterdir()) == sorted(references)


@pytest.mark.parametrize("fault", EVERY)
async def test_a_claim_folder_that_fails_takes_no_large_message_and_is_used_again_once_it_is_mended(
    plant: Plant, free_port: Callable[[], int], fault: Fault
) -> None:
    first, second, small = ("large", 0), ("large", 1), facts(ORDERS, range(10))
    with Claims(plant.folder / "data" / FOLDER, fault).there() as claims:
        async with running(plant, free_port()) as (erp, _):
            status, answer = await post_large(plant, first)
            assert status == 202, answer
            timeline = f"/v1/events/{answer['results'][0]['positions'][0]}/timeline"
            await asyncio.to_thread(claims.fail)
            status, answer = await post_large(plant, second)
            assert (status, "a large message could not be written" in answer["detail"]) == (503, True)
            assert "nothing was acknowledged" in answer["detail"]
            await plant.post(small)  # the journal's disk works
            await eventually(lambda: erp.ledger.has([first, *small]), 60)
            assert not erp.ledger.has([second])
            status, answer = await plant.hub.ask("GET", timeline, key=plant.key)
            if fault == "gone":  # what lay there cannot be shown, which is said
                assert (status, answer["code"], FOLDER in answer["detail"]) == (500, "journal_corrupt", True)
            else:
                assert status == 200
            await asyncio.to_thread(claims.mend)
            await eventually(lambda: well(plant), 30)
            status, answer = await post_large(plant, second)  # by itself: nobody started it anew
            assert status == 202, answer
            assert (await plant.hub.ask("GET", timeline, key=plant.key))[0] == 200
            await finish(plant, erp, [first, *small, second])
            whole(plant, 2)


@pytest.mark.parametrize("fault", ["full", "read-only"])
async def test_what_was_acknowledged_beside_failing_claims_is_there_after_a_kill(
    plant: Plant, free_port: Callable[[], int], fault: Fault
) -> None:
    """Small and large messages come at once and share commits, so small ones may be refused, too."""
    small = facts([f"o{number}" for number in range(40)], range(1))  # no two of one key: none comes first
    large = facts([f"large{number}" for number in range(5)], range(1))
    with Claims(plant.folder / "data" / FOLDER, fault).there() as claims:
        async with running(plant, free_port()) as (erp, site):
            await site.shut()
            await asyncio.to_thread(claims.fail)
            refused, statuses = await asyncio.gather(
                asyncio.gather(*(post_large(plant, fact) for fact in large)),
                asyncio.gather(*(ask(plant, fact, 20) for fact in small)),
            )
            assert {status for status, _ in refused} == {503}
            assert set(statuses) <= {202, 503}
            taken = [fact for fact, status in zip(small, statuses, strict=True) if status == 202]
            await plant.post(small[:1])
            await plant.hub.kill9()
            await plant.start()  # with the folder as it is
            assert (await post_large(plant, large[0]))[0] == 503
            await site.open()
            await eventually(lambda: erp.ledger.has([*taken, small[0]]), 60)
            assert not any(erp.ledger.has([fact]) for fact in large)
            await asyncio.to_thread(claims.mend)
            for fact in large:
                status, answer = await post_large(plant, fact)
                assert status == 202, answer
            await finish(plant, erp, [*small, *large])
            whole(plant, len(large))
