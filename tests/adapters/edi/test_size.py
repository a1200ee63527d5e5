"""Large files: memory stays in proportion, and taking apart is quicker than with pydifact."""

from __future__ import annotations

import json
import subprocess
import sys
import time
import warnings
from pathlib import Path

from pydifact import Parser

from adapters.edi.config import EdifactOptions
from adapters.edi.edifact.file import interchanges

LINES = 39_000
MEASURE = """
import json, resource, sys
from pathlib import Path
from adapters.edi.config import EdifactOptions
from adapters.edi.edifact.file import interchanges
from adapters.edi.report import read

def mb():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024

body = Path(sys.argv[1]).read_bytes()
read(body[:400])
begin = mb()
(one,) = interchanges(body, EdifactOptions())
segments = sum(1 for message in one.messages for _ in one.tokens(message))
apart = mb() - begin
events = len(read(body).events)
print(json.dumps({"segments": segments, "apart_mb": apart, "events": events, "events_mb": mb() - begin}))
"""


def stock(lines: int) -> bytes:
    """A stock report of so many lines, 130 bytes each, some with released characters."""
    head = ["UNH+1+INVRPT:D:01B:UN'", "BGM+35+R1+9'", "DTM+366:20260302:102'", "NAD+GY+PLANT-1::92'"]
    body = [
        f"LIN+{at}++ITEM-{at:06}:IN'PIA+1+S?+{at}:SA'IMD+F++:::Bolt ?'M8?' number {at} of the store'"
        f"INV+2+1'QTY+145:{at}:H87'LOC+18+WH-1'"
        for at in range(1, lines + 1)
    ]
    text = "\n".join([*head, *body])
    count = len(head) + 6 * lines + 1
    header = "UNA:+.? '\nUNB+UNOC:3+A:14+B:14+260302:0930+1'\n"
    return f"{header}{text}\nUNT+{count}+1'\nUNZ+1+1'\n".encode()


def test_5_mb_are_read_in_bounded_memory(tmp_path: Path) -> None:
    body = stock(LINES)
    assert len(body) > 5_000_000
    file = tmp_path / "stock.edi"
    file.write_bytes(body)
    done = subprocess.run(
        [sys.executable, "-c", MEASURE, str(file)], capture_output=True, text=True, timeout=100, check=True
    )
    found = json.loads(done.stdout)
    assert found["segments"] == 5 + 6 * LINES
    assert found["events"] == LINES + 1
    assert found["apart_mb"] < 25  # the text, its line ends, and one segment at a time
    assert found["events_mb"] < 200  # 39,000 events are most of it


def test_taking_apart_is_quicker_than_pydifact() -> None:
    body = stock(2_000)
    ours = min(_timed(body) for _ in range(3))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        begun = time.perf_counter()
        count = sum(1 for _ in Parser().parse(body.decode()))
        theirs = time.perf_counter() - begun
    assert count > 12_000
    assert theirs / ours > 2  # 5 to 7 on an idle machine


def _timed(body: bytes) -> float:
    (interchange,) = interchanges(body, EdifactOptions())
    begun = time.perf_counter()
    for message in interchange.messages:
        for _ in interchange.tokens(message):
            pass
    return time.perf_counter() - begun
