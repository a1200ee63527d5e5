"""An EDI file for people: envelopes, segments with what they mean, each finding beneath its segment."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from typing import Final

from adapters.edi.commands_outline import outline
from adapters.edi.commands_words import meaning
from adapters.edi.finding import Finding
from adapters.edi.interchange import Interchange, Message, Standard
from adapters.edi.report import Report
from adapters.edi.segment import Element, Repeats, Segment
from canonical.commands import visible

__all__ = ["counted", "elements_of", "findings_table", "headline", "shown"]

_NAMES: Final[dict[Standard, str]] = {"edifact": "EDIFACT", "x12": "X12"}
_MARKS: Final[dict[Standard, str]] = {"edifact": "+", "x12": "*"}
_LEFT: Final = 52
"""Columns of position, tag and meaning; what stands in the segment begins behind them."""


def shown(report: Report, size: int) -> Iterator[str]:
    """The lines of a file of ``size`` bytes, with its summary on top."""
    yield headline(report)
    by_place: defaultdict[int, list[Finding]] = defaultdict(list)
    for finding in report.findings:
        by_place[finding.position].append(finding)
    for finding in by_place.pop(0, []):
        yield _remark(finding, "")
    for interchange in report.interchanges:
        yield ""
        yield from _envelope(interchange)
        told = by_place.pop(interchange.place.position, [])
        yield from (_remark(finding, "  ") for finding in told)
        for message in interchange.messages:
            yield ""
            yield _title(message)
            yield from _segments(interchange, message, size, by_place)
    rest = [finding for found in by_place.values() for finding in found]
    if rest:
        yield ""
        yield "Outside of messages"
        yield from (_remark(finding, "  ") for finding in rest)


def headline(report: Report) -> str:
    """One line: the standard, how many interchanges and messages, and how many findings of each severity."""
    types = Counter(message.type or "?" for one in report.interchanges for message in one.messages)
    messages = ", ".join(f"{number} {visible(name)}" for name, number in types.items()) or "no message"
    number = len(report.interchanges)
    interchanges = f"{number} interchange{'' if number == 1 else 's'}"
    return f"{_NAMES[report.standard]}, {interchanges}, {messages}: {counted(report.findings)}"


def counted(findings: Sequence[Finding]) -> str:
    """``2 errors, 1 warning``, or ``clean``."""
    numbers = Counter(finding.severity for finding in findings)
    told = [
        f"{numbers[severity]} {severity}{'' if numbers[severity] == 1 else 's'}"
        for severity in ("error", "warning", "info")
        if numbers[severity]
    ]
    return ", ".join(told) or "clean"


def _envelope(interchange: Interchange) -> Iterator[str]:
    test = ", TEST" if interchange.test else ""
    yield f"Interchange {visible(interchange.reference) or '(without reference)'}{test}"
    pairs = [
        ("from", _party(interchange.sender, interchange.sender_qualifier)),
        ("to", _party(interchange.receiver, interchange.receiver_qualifier)),
        ("prepared", _prepared(interchange.prepared)),
        ("syntax", interchange.version),
    ]
    for group in interchange.groups:
        if group.explicit:
            told = f"{group.type} {group.reference}, {group.version}, {group.sender} → {group.receiver}"
            pairs.append(("group", told))
    for name, value in pairs:
        if value:
            yield f"  {name:<10}{visible(value)}"


def _party(identifier: str, qualifier: str) -> str:
    return f"{identifier} (qualifier {qualifier})" if qualifier else identifier


def _prepared(digits: str) -> str:
    """``2026-03-02 12:00`` where the header's digits are such a date; else as they are."""
    if len(digits) == 10:
        digits = f"20{digits}"
    if len(digits) != 12:
        return digits
    return f"{digits[:4]}-{digits[4:6]}-{digits[6:8]} {digits[8:10]}:{digits[10:12]}"


def _title(message: Message) -> str:
    parts = [
        visible(message.type) or "?",
        visible(message.version),
        f"reference {visible(message.reference)}",
    ]
    return "Message " + " ".join(filter(None, parts))


def _segments(
    interchange: Interchange, message: Message, size: int, by_place: dict[int, list[Finding]]
) -> Iterator[str]:
    standard = interchange.standard
    for one in outline(interchange, message, size):
        segment, indent = one.segment, "  " * one.depth
        told = meaning(standard, segment)
        left = f"{segment.position:>6}  {indent}{visible(segment.tag):<3}  {told}"
        yield f"{left:<{_LEFT}}  {elements_of(segment, _MARKS[standard])}".rstrip()
        for finding in by_place.pop(segment.position, []):
            yield _remark(finding, f"        {indent}")


def _remark(finding: Finding, indent: str) -> str:
    return f"{indent}^ {finding.severity} {finding.code}: {finding.message} ({finding.place})"


def elements_of(segment: Segment, mark: str) -> str:
    """The elements in one line, with the usual separators whichever the file has."""
    return visible(mark.join(_element(element) for element in segment.elements))


def _element(element: Element) -> str:
    if isinstance(element, Repeats):
        return "^".join(_element(one) for one in element)
    return element if isinstance(element, str) else ":".join(element)


def findings_table(findings: Sequence[Finding]) -> Iterator[str]:
    """A line per finding, in columns: severity, code, place, what is wrong."""
    rows = [(one.severity, one.code, one.place, one.message) for one in findings]
    widths = [max(len(row[column]) for row in rows) for column in range(3)] if rows else []
    for row in rows:
        yield "  ".join([*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[3]])
