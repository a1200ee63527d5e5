"""What answers an EDI file: an acknowledgement for each of its interchanges that can have one."""

from __future__ import annotations

from typing import Any

from adapters.edi.events import INTERCHANGE
from adapters.edi.formatter import EdifactFormatter, X12Formatter
from adapters.edi.outgoing import ENVELOPE
from adapters.edi.report import Report, Settings
from canonical import catalogue
from canonical.errors import Invalid

__all__ = ["answers"]


def answers(report: Report, settings: Settings, reference: str | None) -> tuple[list[bytes], list[str]]:
    """(the acknowledgements in order, why others could not be written).

    ``reference`` is the first one's control reference; numbers after it are counted up from it.
    """
    formatter: Any = (
        X12Formatter(settings.x12) if report.standard == "x12" else EdifactFormatter(settings.edifact)
    )
    written: list[bytes] = []
    refused: list[str] = []
    events = [event for event in report.events if event.type == catalogue.full_name(INTERCHANGE)]
    for event in events:
        envelope = {"reference": _counted(reference, len(written))} if reference else {}
        try:
            written.append(formatter.format({**event.data, ENVELOPE: envelope}))
        except Invalid as error:
            refused.append(f"interchange {event.data['reference']} is not answered: {error.message}")
    if not events:
        refused.append(
            "no interchange says who sent it, to whom, and under which reference: none can be answered"
        )
    return written, refused


def _counted(reference: str, more: int) -> str:
    if not more:
        return reference
    if reference.isascii() and reference.isdigit():
        return str(int(reference) + more).zfill(len(reference))
    return f"{reference}-{more + 1}"
