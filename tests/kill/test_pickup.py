"""kill -9 during pick-up: no file is lost or taken twice, repetitions are told once, no number is missing."""

from __future__ import annotations

import asyncio
import random
import re
from collections import Counter
from collections.abc import AsyncIterator, Callable
from functools import partial
from pathlib import Path

import pytest

from tests.end_to_end.edi import US, Site, orders
from tests.servers import StartOpenSsh
from tests.waiting import eventually

pytestmark = [pytest.mark.timeout(1200)]

FILES, KILLS = 200, 20
PER_ROUND = FILES // KILLS
FAILPOINTS = [
    *("ingest.before_commit", "ingest.after_commit", "journal.before_commit", "journal.after_commit"),
    *("engine.before_send", "engine.after_send", "engine.before_settle", "ingest.after_commit:2"),
]
"""The other kills come when some of a round's files, a number by chance, are put away."""


@pytest.fixture
async def site(tmp_path: Path, free_port: Callable[[], int]) -> AsyncIterator[Site]:
    site = Site(tmp_path, free_port())
    yield site
    await site.hub.end()


def deployment(inbox: str, outbox: Path) -> str:
    return f"""
partners:
  nordstahl:
    ids: [{{qualifier: "14", id: "4060000000017"}}]
    edifact: {{sender: {{id: "{US}", qualifier: "14"}}}}
adapters:
  inbox:
    partner: nordstahl
    format: {{kind: edifact}}
    pick_up: {{every: 100ms, ready: {{kind: renamed}}, limit: 4}}
{inbox}
  outbox: {{kind: files, partner: nordstahl, path: {outbox}}}
routes:
  answers:
    on: [integration.interchange.received]
    from: beginning
    format: {{kind: edifact}}
    to: {{adapter: outbox, name: "{{data.reference}}-{{data.outcome}}.edi"}}
"""


def drop_round(folder: Path, number: int) -> None:
    """Ten files; the last is the first again, under another name."""
    for at in range(PER_ROUND):
        reference = f"{number:02}{at % (PER_ROUND - 1):02}"
        name = f"{number:02}-{at:02}.edi"
        (folder / f".{name}").write_bytes(orders(reference, 3))
        (folder / f".{name}").rename(folder / name)


def put_away(folder: Path) -> int:
    """How many files are in the archive, which may not be there yet."""
    return len(list((folder / "archive").glob("*.edi")))


def reached(folder: Path, number: int) -> bool:
    """Whether so many are in the archive."""
    return put_away(folder) >= number


async def killed_again_and_again(site: Site, folder: Path, chance: random.Random) -> None:
    """Twenty kills, each while ten more files lie there: at every failpoint, and at moments of chance."""
    points = [*FAILPOINTS, *([None] * (KILLS - len(FAILPOINTS)))]
    chance.shuffle(points)
    for number, point in enumerate(points):
        before = put_away(folder)  # a fast hub has put the whole round away by the time it says it is ready
        if chance.random() < 0.5:
            drop_round(folder, number)
            await site.hub.start(point)
        else:
            await site.hub.start(point)
            drop_round(folder, number)
        if point is None:
            wanted = before + chance.randrange(PER_ROUND)
            await eventually(partial(reached, folder, wanted), 120)
            await asyncio.sleep(chance.uniform(0.0, 0.05))
            await site.hub.kill9()
        else:
            await eventually(lambda: site.hub.dead, 120)
            assert site.hub.code == -9, (point, site.hub.log()[-3000:])


def control_references(outbox: Path) -> list[int]:
    """Those of all interchanges of ours, from their UNB."""
    heads = [re.search(r"UNB\+[^']*\+(\d+)'", path.read_text()) for path in outbox.glob("*.edi")]
    return [int(head[1]) for head in heads if head]


async def account(site: Site, folder: Path, outbox: Path) -> None:
    """Everything is there, once."""
    await site.start()

    def quiet() -> bool:
        return not list(folder.glob("*.edi")) and len(list(outbox.glob("*.edi"))) >= FILES

    await eventually(quiet, 240)
    taken = Counter(await site.interchanges())
    unique = {f"{number:02}{at:02}" for number in range(KILLS) for at in range(PER_ROUND - 1)}
    assert {reference for reference, outcome in taken if outcome == "accepted"} == unique
    assert {outcome for _, outcome in taken} == {"accepted", "duplicate"}
    assert set(taken.values()) == {1}
    assert sum(number for (_, outcome), number in taken.items() if outcome == "duplicate") == KILLS
    bought = Counter(data["purchase_order"] for data in await site.data("procurement.order.issued"))
    assert bought == Counter(f"PO-{reference}" for reference in unique)
    assert len(list((folder / "archive").iterdir())) == FILES
    assert not list((folder / "error").iterdir())
    assert sorted(control_references(outbox)) == list(range(1, FILES + 1))
    hit = Counter(site.hub.hits.read_text().split())
    assert hit["failpoint"] == len(FAILPOINTS)
    assert await site.hub.stop() == 0


async def test_files_are_taken_once_whenever_the_hub_is_killed(site: Site) -> None:
    folder, outbox = site.share("in", "out")
    site.configure(deployment(f"    kind: files\n    path: {folder}", outbox))
    await killed_again_and_again(site, folder, random.Random(1))
    await account(site, folder, outbox)


@pytest.mark.requires_server("sshd")
async def test_files_of_a_server_are_taken_once_whenever_the_hub_is_killed(
    site: Site, start_sshd: StartOpenSsh
) -> None:
    sshd = start_sshd()
    folder, outbox = site.share("remote", "out")
    options = f'    kind: sftp\n    url: {sshd.url(folder)}\n    host_key: "{sshd.host_key}"'
    site.configure(deployment(f"{options}\n    key: ${{file:{sshd.key_path}}}", outbox))
    await killed_again_and_again(site, folder, random.Random(2))
    await account(site, folder, outbox)
