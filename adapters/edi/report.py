"""What the command line says of an EDI file: its interchanges, and everything that was found.

For ``crossplant edi show``, ``validate`` and ``convert``: ``read(body)`` tells the standard by itself.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Final
from zoneinfo import ZoneInfo

from msgspec import Struct, field

from adapters.edi.config import EdifactOptions, EdiOptions, X12Options
from adapters.edi.dialect import EDIFACT, X12, Dialect
from adapters.edi.events import document_events, interchange_event
from adapters.edi.finding import Finding, Severity
from adapters.edi.interchange import Interchange, Standard
from adapters.edi.judgement import Judge
from canonical.event import Event, to_json
from canonical.ports import RawMessage
from canonical.spec import FormatContext

__all__ = ["Report", "Settings", "read", "standard_of"]

_BOM: Final = b"\xef\xbb\xbf"
_X12: Final = re.compile(rb"ISA[^A-Za-z0-9]")
_EDIFACT: Final = re.compile(rb"UN[ABH][^A-Za-z0-9]")


class Settings(Struct, frozen=True, kw_only=True):
    """How a file is read: the options of the partner's agreement, and the zone of times without one."""

    edifact: EdifactOptions = field(default_factory=EdifactOptions)
    x12: X12Options = field(default_factory=X12Options)
    timezone: ZoneInfo = field(default_factory=lambda: ZoneInfo("UTC"))
    plant: str | None = None
    partner: str | None = None
    adapter: str = "edi"
    source: str = "/adapters/edi"


class Report(Struct, frozen=True, kw_only=True):
    """All interchanges of a file, all findings in order, and the events of those that can be taken."""

    standard: Standard
    interchanges: Sequence[Interchange]
    findings: Sequence[Finding]
    events: Sequence[Event]

    @property
    def clean(self) -> bool:
        """Whether there is no error (exit code 0 of ``validate``)."""
        return all(finding.severity != "error" for finding in self.findings)

    def to_json(self) -> dict[str, Any]:
        """What ``crossplant edi validate --json`` prints."""
        return {
            "interchanges": [one.to_json() for one in self.interchanges],
            "findings": [finding.to_json() for finding in self.findings],
        }

    def to_batch(self) -> list[dict[str, Any]]:
        """The events as a CloudEvents batch, which ``crossplant edi convert --json`` prints."""
        return [to_json(event) for event in self.events]


def standard_of(body: bytes) -> Standard:
    """The standard that a file follows: that of the header which comes first in it; EDIFACT for neither."""
    text = body.removeprefix(_BOM).lstrip()
    if _X12.match(text) or text.startswith((b"GS*", b"ST*")):
        return "x12"
    if text.startswith((b"UNA", b"UNB", b"UNH")):
        return "edifact"
    x12, edifact = _X12.search(text), _EDIFACT.search(text)
    return "x12" if x12 and (edifact is None or x12.start() < edifact.start()) else "edifact"


def read(
    body: bytes,
    settings: Settings | None = None,
    *,
    received_at: datetime | None = None,
    converting: bool = False,
) -> Report:
    """Everything that a file holds, and everything that is wrong with it. Never raises for any bytes.

    A message of a type that has no mapping is a warning, since the file may be right; if it is read for
    ``converting``, it is an error, as it is in the hub.
    """
    chosen = settings or Settings()
    dialect, options = _dialect(standard_of(body), chosen)
    raw = RawMessage(
        adapter=chosen.adapter, id="file", body=body, received_at=received_at or datetime.now(UTC)
    )
    context = FormatContext(
        adapter=chosen.adapter,
        source=chosen.source,
        plant=chosen.plant,
        partner=chosen.partner,
        timezone=chosen.timezone,
    )
    interchanges: list[Interchange] = []
    findings: list[Finding] = []
    events: list[Event] = []
    unmapped: Severity = "error" if converting else "warning"
    judge = Judge(dialect, options, chosen.timezone, chosen.plant, unmapped=unmapped)
    for judged in judge.judge(body):
        if judged.interchange.groups or judged.interchange.version:
            interchanges.append(judged.interchange)
        findings += judged.interchange.findings.all
        if event := interchange_event(judged, raw, context):
            events.append(event)
        events += document_events(judged, raw, context)
    return Report(standard=dialect.standard, interchanges=interchanges, findings=findings, events=events)


def _dialect(standard: Standard, settings: Settings) -> tuple[Dialect, EdiOptions]:
    return (X12, settings.x12) if standard == "x12" else (EDIFACT, settings.edifact)
