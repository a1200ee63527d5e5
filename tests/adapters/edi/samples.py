"""The samples of the EDI formats: a folder each, with the file, the options, and what must come of it.

`python -m tests.adapters.edi.samples` writes what comes of each now as what is expected: read the difference
before you commit it.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from adapters.edi.config import EdifactOptions, X12Options
from adapters.edi.report import Report, Settings, read, standard_of

__all__ = ["FOLDER", "RECEIVED", "outcome", "read_sample", "samples"]

FOLDER = Path(__file__).parent / "cases"
RECEIVED = datetime(2026, 3, 2, 12, tzinfo=UTC)
_CONSTANT = ("specversion", "source", "srcmsgid")


def samples() -> list[str]:
    """The names of all samples."""
    return sorted(folder.name for folder in FOLDER.iterdir() if folder.is_dir())


def read_sample(name: str) -> Report:
    """What comes of a sample."""
    folder = FOLDER / name
    body = (folder / "input.edi").read_bytes()
    told = folder / "options.json"
    options = json.loads(told.read_text(encoding="utf-8")) if told.exists() else {}
    if standard_of(body) == "x12":
        settings = Settings(x12=X12Options(**options), timezone=ZoneInfo("Europe/Berlin"))
    else:
        settings = Settings(edifact=EdifactOptions(**options), timezone=ZoneInfo("Europe/Berlin"))
    return read(body, settings, received_at=RECEIVED, converting=True)


def outcome(report: Report) -> dict[str, Any]:
    """A report as plain JSON: findings as one line each, events without what all of them share."""
    findings = [f"{one.severity} {one.code} at {one.place}: {one.message}" for one in report.findings]
    events = []
    for event in report.to_batch():
        for name in _CONSTANT:
            del event[name]
        if event["type"].endswith("interchange.received.v1"):
            event["data"].pop("findings", None)  # they stand above
        events.append(event)
    return {"standard": report.standard, "findings": findings, "events": events}


def _record() -> None:
    for name in samples():
        text = json.dumps(outcome(read_sample(name)), indent=2, ensure_ascii=False)
        (FOLDER / name / "expected.json").write_text(f"{text}\n", encoding="utf-8")


if __name__ == "__main__":
    _record()
