"""Golden folders: what a decoder makes of an input under a configuration, as JSON."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import yaml

from canonical.event import Event
from canonical.ports import RawMessage
from canonical.spec import FormatContext, format_spec

__all__ = ["CONTEXT", "decoded", "expected", "folders", "message"]

CONTEXT = FormatContext(
    adapter="wms",
    source="/plants/brno/adapters/wms",
    plant="brno",
    partner=None,
    timezone=ZoneInfo("Europe/Prague"),
)


def folders(root: Path) -> list[Path]:
    """The cases below a test's folder."""
    return sorted(path.parent for path in root.glob("testcases/*/config.yaml"))


def message(body: bytes) -> RawMessage:
    """A message with a fixed id and time."""
    return RawMessage(adapter="wms", id="m-1", body=body, received_at=datetime(2026, 7, 1, tzinfo=UTC))


def decoded(folder: Path) -> list[dict[str, Any]]:
    """What the decoder makes of the case's input."""
    options = yaml.safe_load((folder / "config.yaml").read_text("utf-8"))["format"]
    spec = format_spec(options.pop("kind"))
    assert spec.decoder is not None
    decoder = spec.decoder(spec.config.model_validate(options), CONTEXT)
    _, found = decoder.decode(None, message((folder / "input").read_bytes()))
    return [
        {"id": one.id, "subject": one.subject, "data": one.data}
        if isinstance(one, Event)
        else {"invalid": one.code, "message": one.message, "errors": [list(pair) for pair in one.errors]}
        for one in found
    ]


def expected(folder: Path) -> list[dict[str, Any]]:
    """What it is to make of it."""
    found: list[dict[str, Any]] = json.loads((folder / "expected.json").read_text("utf-8"))
    return found
