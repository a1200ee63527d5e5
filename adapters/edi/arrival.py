"""When a despatch left and arrives, as far as its advice tells; what it leaves out is assumed, and noted."""

from __future__ import annotations

from datetime import timedelta

from adapters.edi.finding import Place
from adapters.edi.reading import Reading, When
from canonical.duration import format_duration

__all__ = ["arrival", "despatch"]


def despatch(reading: Reading, told: When | None, written: When | None, place: Place) -> When | None:
    """When it left; else when its advice was written."""
    if told is None and written is not None:
        reading.note(
            "warning", "despatch_assumed", "no date of despatch is told: it is the document's", place
        )
    if told is None and written is None:
        reading.missing("neither a date of despatch nor one of the document is told", place)
    return told or written


def arrival(reading: Reading, told: When | None, shipped: When | None, place: Place) -> When | None:
    """When it will arrive; else after the agreed transit, which is none unless the options say so."""
    if told is not None or shipped is None:
        return told
    transit = reading.options.transit
    after = f"{format_duration(transit)} after" if transit else "that of"
    text = f"no arrival is told: it is {after} the despatch (`transit` in the options)"
    reading.note("warning", "arrival_assumed", text, place)
    return When(shipped.moment + timedelta(seconds=transit))
