"""The worked example of docs/writing-an-adapter.md is a whole adapter, and the text shows it as it is."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from adapters.conformance import source
from canonical.errors import Invalid
from canonical.event import Event
from canonical.ports import RawMessage
from canonical.spec import FormatContext
from crossplant_scale import SPEC
from crossplant_scale.config import RecordOptions
from crossplant_scale.record import RecordDecoder
from tests.docs.scale import ScaleHarness

ROOT = Path(__file__).parents[2]
GUIDE = ROOT / "docs" / "writing-an-adapter.md"
EXAMPLE = ROOT / "docs" / "examples" / "scale"
QUOTED = re.compile(r"^<!-- from (?P<file>\S+) -->\n```\w+\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("case", source.cases(SPEC.guarantees), ids=lambda case: case.__name__)
async def test_the_example_passes_the_conformance_suite(case: source.Case) -> None:
    harness = ScaleHarness()
    try:
        await case(harness)
    finally:
        await harness.stop_server()


def decoded(body: bytes) -> Event | Invalid:
    """What becomes of a record."""
    context = FormatContext(
        adapter="goods-in-scale",
        source="/plants/aachen/adapters/goods-in-scale",
        plant="aachen",
        partner=None,
        timezone=ZoneInfo("Europe/Berlin"),
    )
    decoder = RecordDecoder(RecordOptions(equipment="acme/aachen/goods-in/scale-1"), context)
    raw = RawMessage(
        adapter="goods-in-scale", id="7", body=body, received_at=datetime(2026, 3, 2, tzinfo=UTC)
    )
    _, [made] = decoder.decode(None, raw)
    return made


def test_a_record_becomes_a_measurement_at_the_time_of_the_plants_clock() -> None:
    event = decoded(b"7;20260302111500;842.5;kg")
    assert isinstance(event, Event)
    assert (event.id, event.subject) == ("7", "acme/aachen/goods-in/scale-1")
    assert event.time == datetime(2026, 3, 2, 10, 15, tzinfo=UTC)
    assert (event.data["value"], event.data["uom"]) == (842.5, "KGM")


@pytest.mark.parametrize(
    ("body", "where"),
    [
        (b"7;20260302111500;842.5", "/"),
        (b"7;yesterday;842.5;kg", "/1"),
        (b"7;20260302111500;much;kg", "/2"),
        (b"7;20260302111500;NaN;kg", "/2"),
        (b"\xff;20260302111500;1;kg", "/"),
        (b"7;20260302111500;1;", "/data/uom"),
    ],
)
def test_a_record_that_is_wrong_is_told_where(body: bytes, where: str) -> None:
    fault = decoded(body)
    assert isinstance(fault, Invalid)
    assert fault.errors[0][0] == where


def lines(text: str) -> str:
    """Its lines without what depends on where they stand."""
    return "\n".join(line.strip() for line in text.splitlines() if line.strip())


def test_the_guide_shows_the_example_as_it_is() -> None:
    quoted = list(QUOTED.finditer(GUIDE.read_text()))
    assert len(quoted) >= 5
    for found in quoted:
        whole, shown = lines((ROOT / found["file"]).read_text()), lines(found["text"])
        assert shown in whole, f"{found['file']} has no such lines:\n{shown}"


def test_a_package_like_the_example_is_found(tmp_path: Path) -> None:
    metadata = tmp_path / "crossplant_scale-0.1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: crossplant-scale\nVersion: 0.1.0\n")
    (metadata / "entry_points.txt").write_text(
        "[crossplant.adapters]\nscale = crossplant_scale:SPEC\n"
        "[crossplant.formats]\nscale-record = crossplant_scale:FORMAT\n"
    )
    (tmp_path / "crossplant.yaml").write_text(
        "company: acme\nplants: {aachen: {name: Aachen, timezone: Europe/Berlin}}\n" + SPEC.example
    )
    environment = os.environ | {"PYTHONPATH": f"{EXAMPLE}{os.pathsep}{tmp_path}"}
    for arguments in (
        ["adapters", "scale", "--json"],
        ["check", "--config", str(tmp_path / "crossplant.yaml")],
    ):
        done = subprocess.run(
            [sys.executable, "-P", "-m", "gateway.cli", *arguments],
            env=environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        if "--json" in arguments:
            assert json.loads(done.stdout)["kind"] == "scale"
