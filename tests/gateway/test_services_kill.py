"""The services' file and its copies under kill -9."""

from __future__ import annotations

import random
import subprocess
import sys
from pathlib import Path

import pytest

from canonical.ports import Recorded
from gateway.projections.services.file import ServiceFile
from gateway.projections.services.registry import SERVICES
from gateway.projections.services.snapshots import Snapshots
from tests.gateway.test_services import adjusted, balance, content, numbered, order, truth, value

pytestmark = pytest.mark.timeout(900)  # a process with its imports per kill

STATUSES = ("released", "running", "held", "resumed", "completed")
BATCH = 7

_PROGRAM = """
import sys
from pathlib import Path
from gateway.projections.services.file import ServiceFile
from gateway.projections.services.registry import SERVICES
from gateway.projections.services.snapshots import Snapshots
from tests.gateway.test_services_kill import batches
folder = Path(sys.argv[1])
opened, copies = ServiceFile(folder / "services.db", SERVICES), Snapshots(folder)
for batch in batches():
    if batch[-1].position > opened.position:
        opened.add(batch, batch[-1].position)
        print(opened.position, flush=True)
        if batch[0].position % 3 == 0:
            copies.take(folder / "services.db")
"""


def batches() -> list[list[Recorded]]:
    """A history, the same at every call."""
    events = []
    for number in range(1, 421):
        match number % 4:
            case 0:
                events.append(order(number, STATUSES[number % 5], name=f"O-{number % 13}"))
            case 1:
                events.append(value(number, f"t{number % 5}"))
            case 2:
                events.append(adjusted(number, number % 7))
            case _:
                events.append(balance(number, number))
    recorded = numbered(events)
    return [recorded[start : start + BATCH] for start in range(0, len(recorded), BATCH)]


def test_after_any_number_of_kills_nothing_is_missing_or_twice(tmp_path: Path) -> None:
    chance, position, kills = random.Random(7), 0, 0
    last = batches()[-1][-1].position
    while position < last:
        process = subprocess.Popen(
            [sys.executable, "-c", _PROGRAM, str(tmp_path)], stdout=subprocess.PIPE, text=True
        )
        assert process.stdout is not None
        try:
            with process.stdout:
                for _ in range(chance.randint(3, 25)):
                    position = int(process.stdout.readline() or position)
        finally:
            process.kill()
            kills += 1
            process.wait(30)
        for _, copy in Snapshots(tmp_path).listed():  # one by one, whatever was under way
            whole = tmp_path / "try.db"
            whole.write_bytes(copy.read_bytes())
            ServiceFile(whole, SERVICES).close()
    recorded = [item for batch in batches() for item in batch]
    opened = ServiceFile(tmp_path / "services.db", SERVICES)
    assert (opened.position, kills > 2) == (last, True)
    assert content(tmp_path / "services.db") == truth(recorded)


def test_a_copy_that_was_under_way_is_none(tmp_path: Path) -> None:
    """What a kill leaves of an unfinished copy is never taken for one."""
    path = tmp_path / "services.db"
    opened = ServiceFile(path, SERVICES)
    opened.add(batches()[0], BATCH)
    (tmp_path / "services.snapshot.part").write_bytes(b"half")
    copies = Snapshots(tmp_path)
    assert copies.horizon() == 0
    assert copies.take(path) == BATCH
    assert [position for position, _ in copies.listed()] == [BATCH]
