"""Crosswalk rows from CSV files: which code of a system is which canonical code, where and when."""

from __future__ import annotations

import csv
import io
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, date, datetime, time, tzinfo
from pathlib import Path
from typing import Literal, cast, get_args
from zoneinfo import ZoneInfo

from msgspec import Struct

from canonical.values import CODE_DOMAINS
from config.findings import ConfigErrors, Finding, did_you_mean
from config.packages import PACKAGE, content

__all__ = ["DOMAINS", "CrosswalkRow", "ambiguous", "overlapping", "parse", "read_crosswalks", "scan"]

DOMAINS = (*CODE_DOMAINS, PACKAGE)
"""What rows may be about: the domains of codes, and what is in an item's packages (`12 EA` in a `CT`)."""

Status = Literal["draft", "approved", "retired"]
_NEEDED = ("domain", "system", "value", "canonical")
_COLUMNS = (*_NEEDED, "plant", "valid_from", "valid_to", "status", "steward")
_ALWAYS = (datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC))


class CrosswalkRow(Struct, frozen=True, kw_only=True):
    """``value`` of ``system`` is ``canonical`` in ``domain``, from ``valid_from`` until before ``valid_to``
    (UTC; None: no bound). Without a plant it holds in all, but a plant's own row beats it."""

    domain: str
    system: str
    value: str
    canonical: str
    plant: str | None = None
    valid_from: datetime | None = None
    valid_to: datetime | None = None
    status: Status = "approved"
    steward: str | None = None
    file: str = ""
    line: int = 0

    @property
    def interval(self) -> tuple[datetime, datetime]:
        """When it holds: [from, to)."""
        return self.valid_from or _ALWAYS[0], self.valid_to or _ALWAYS[1]

    @property
    def effective(self) -> bool:
        """Whether it says anything: a draft does not, a retired row does of the time until its end."""
        return self.status == "approved" or (self.status == "retired" and self.valid_to is not None)

    def finding(self, message: str, *, warning: bool = False) -> Finding:
        """A finding at this row."""
        severity: Literal["error", "warning"] = "warning" if warning else "error"
        return Finding(file=self.file, line=self.line, column=1, severity=severity, message=message)


def read_crosswalks(paths: Iterable[Path], zones: Mapping[str, ZoneInfo] | None = None) -> list[CrosswalkRow]:
    """All rows of the files, in order. Raises ConfigErrors with everything that is wrong.

    ``zones`` are the plants' time zones: a date without a time begins at midnight in its plant's zone,
    in UTC for rows without a plant.
    """
    rows: list[CrosswalkRow] = []
    findings: list[Finding] = []
    for path in paths:
        found, wrong = scan(path, zones)
        rows += found
        findings += wrong
    findings += overlapping(rows)
    if findings:
        raise ConfigErrors(findings)
    return rows


def scan(path: Path, zones: Mapping[str, ZoneInfo] | None = None) -> tuple[list[CrosswalkRow], list[Finding]]:
    """(rows, findings) of one file: UTF-8 with or without BOM, a header, comma or semicolon."""
    try:
        body = path.read_bytes()
    except OSError as error:
        return [], [Finding(file=str(path), message=f"cannot be read: {error.strerror}")]
    return parse(body, str(path), zones)


def parse(
    body: bytes, name: str, zones: Mapping[str, ZoneInfo] | None = None
) -> tuple[list[CrosswalkRow], list[Finding]]:
    """The same of a file's content; ``name`` is what findings call it."""
    try:
        text = body.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        return [], [Finding(file=name, message=f"is not UTF-8 text (byte {error.start})")]
    header = text.partition("\n")[0]
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=";" if ";" in header else ",", strict=True)
    file = _File(name, zones or {})
    try:
        for line, record in _records(reader):
            file.take(line, record)
    except csv.Error as error:
        file.fault(reader.line_num, f"this is not CSV: {error}")
    if not file.columns and not file.findings:
        file.fault(1, f"the header is missing: {','.join(_COLUMNS)}")
    return file.rows, file.findings


def _records(reader: Iterator[list[str]]) -> Iterator[tuple[int, list[str]]]:
    """(line, cells) of every record that is not empty."""
    line = 1
    for record in reader:
        if any(cell.strip() for cell in record):
            yield line, [cell.strip() for cell in record]
        line = getattr(reader, "line_num", line) + 1


class _File:
    def __init__(self, file: str, zones: Mapping[str, ZoneInfo]) -> None:
        self.file, self.zones = file, zones
        self.columns: list[str] = []
        self.sound = False
        self.rows: list[CrosswalkRow] = []
        self.findings: list[Finding] = []

    def fault(self, line: int, message: str) -> None:
        self.findings.append(Finding(file=self.file, line=line, column=1, message=message))

    def take(self, line: int, record: Sequence[str]) -> None:
        if not self.columns:
            self.header(line, [cell.lower() for cell in record])
            self.sound = not self.findings
            return
        if not self.sound:
            return
        if len(record) != len(self.columns):
            self.fault(line, f"{len(record)} columns, the header has {len(self.columns)}")
            return
        cells = dict(zip(self.columns, record, strict=True))
        faults = list(_faults(cells))
        for fault in faults:
            self.fault(line, fault)
        if not faults:
            try:
                self.rows.append(self.row(line, cells))
            except ValueError as error:
                self.fault(line, str(error))

    def header(self, line: int, columns: list[str]) -> None:
        self.columns = columns
        for name in columns:
            if name not in _COLUMNS:
                self.fault(line, f"unknown column {name!r}{did_you_mean(name, _COLUMNS, otherwise='known')}")
        for name in _NEEDED:
            if name not in columns:
                self.fault(line, f"the column {name!r} is missing")
        if len(set(columns)) < len(columns):
            self.fault(line, "a column is given twice")

    def row(self, line: int, cells: Mapping[str, str]) -> CrosswalkRow:
        plant = cells.get("plant") or None
        zone: tzinfo = self.zones.get(plant or "", UTC)
        start, end = (_moment(name, cells.get(name, ""), zone) for name in ("valid_from", "valid_to"))
        if start and end and start >= end:
            raise ValueError("valid_from is not before valid_to")
        return CrosswalkRow(
            domain=cells["domain"],
            system=cells["system"],
            value=cells["value"],
            canonical=cells["canonical"],
            plant=plant,
            valid_from=start,
            valid_to=end,
            status=cast(Status, cells.get("status") or "approved"),
            steward=cells.get("steward") or None,
            file=self.file,
            line=line,
        )


def _faults(cells: Mapping[str, str]) -> Iterator[str]:
    for name in _NEEDED:
        if not cells.get(name):
            yield f"{name} is empty"
    domain, status = cells.get("domain", ""), cells.get("status", "")
    if domain and domain not in DOMAINS:
        yield f"unknown domain {domain!r}{did_you_mean(domain, DOMAINS, otherwise='known')}"
    if domain == PACKAGE and cells.get("canonical"):
        try:
            content(cells["canonical"])
        except ValueError as error:
            yield str(error)
    if status and status not in get_args(Status):
        yield f"unknown status {status!r}; known: {', '.join(get_args(Status))}"


def _moment(name: str, text: str, zone: tzinfo) -> datetime | None:
    if not text:
        return None
    try:
        if len(text) == len("2026-01-31"):
            return datetime.combine(date.fromisoformat(text), time(), zone).astimezone(UTC)
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(
            f"{name}: {text!r} is no date; write 2026-01-31 or 2026-01-31T06:00:00+01:00"
        ) from None
    if moment.tzinfo is None:
        raise ValueError(f"{name}: {text!r} has no time zone; write {text}Z for UTC")
    return moment.astimezone(UTC)


def overlapping(rows: Iterable[CrosswalkRow]) -> Iterator[Finding]:
    """A finding for every row with effect that holds at the same time as an earlier one of the same code."""
    for earlier, row in _pairs(rows, lambda row: (row.domain, row.system, row.plant, row.value)):
        where = f"{earlier.file}:{earlier.line}" if earlier.file != row.file else f"line {earlier.line}"
        yield row.finding(
            f"{row.domain} {row.value!r} of {row.system!r} overlaps in time with {where}; bound one of them"
        )


def ambiguous(rows: Iterable[CrosswalkRow]) -> Iterator[Finding]:
    """A warning for every canonical code that has two codes in its system at the same time.

    That is fine inbound; outbound nobody knows which to send.
    """
    for earlier, row in _pairs(rows, lambda row: (row.domain, row.system, row.plant, row.canonical)):
        if earlier.value != row.value:
            yield row.finding(
                f"{row.domain} {row.canonical!r} has two codes in {row.system!r}, {earlier.value!r} (line "
                f"{earlier.line}) and {row.value!r}: routes to it cannot tell which to send",
                warning=True,
            )


def _pairs(
    rows: Iterable[CrosswalkRow], key: Callable[[CrosswalkRow], object]
) -> Iterator[tuple[CrosswalkRow, CrosswalkRow]]:
    """(earlier, later) rows with effect and the same key, whose times overlap."""
    groups: dict[object, list[CrosswalkRow]] = defaultdict(list)
    for row in rows:
        if not row.effective:
            continue
        for earlier in groups[key(row)]:
            if earlier.interval[0] < row.interval[1] and row.interval[0] < earlier.interval[1]:
                yield earlier, row
                break
        groups[key(row)].append(row)
