"""Findings: what is wrong with an interchange, or worth knowing about it, each with its exact place."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterable
from typing import Any, Final, Literal, Protocol

from msgspec import Struct, structs

__all__ = ["MAX_FINDINGS", "Finding", "Findings", "Lines", "Place", "Severity", "Spot", "named", "printable"]

Severity = Literal["info", "warning", "error"]

MAX_FINDINGS: Final = 500
"""Errors, and as many other findings, kept of one interchange. What follows is counted, since rubbish could
give one per byte."""

_BREAK = re.compile("\r\n|\r|\n")
_WORD: Final = re.compile("[A-Za-z0-9]{1,8}")
_SHOWN: Final = 300
_TAG_SHOWN: Final = 20


def printable(text: str) -> str:
    """The text without what cannot be shown: control characters, and what is no character at all."""
    return text if text.isprintable() else "".join(filter(str.isprintable, text))


class Place(Protocol):
    """Where a finding is: a segment, by its tag, its ordinal in the file, and its first byte."""

    @property
    def tag(self) -> str: ...

    @property
    def position(self) -> int: ...

    @property
    def offset(self) -> int: ...


class Spot(Struct, frozen=True):
    """A place that is no segment we could read, or the one that a missing segment should stand behind."""

    tag: str = ""
    position: int = 0
    offset: int = 0


def named(text: str, at: int) -> str:
    """What stands for the tag of a stretch that is no segment: the word that it begins with."""
    word = _WORD.match(text, at)
    return word[0] if word else "?"


class Finding(Struct, frozen=True, kw_only=True):
    """One fault or remark.

    ``position`` counts the segments of the file, the first header being 1 (UNA and empty segments do not
    count, a stretch that is no segment counts as one); ``line`` counts from 1; ``offset`` is the first byte
    of the segment, counted from 0. A finding about the file as a whole has no segment, and position 0.
    """

    code: str
    severity: Severity
    message: str
    segment: str = ""
    position: int = 0
    line: int = 1
    offset: int = 0

    @property
    def place(self) -> str:
        """The place in words: ``segment 7 UNT, line 3, byte 212``."""
        if self.position:
            told = f"segment {self.position} {self.segment}"
            where = told if self.segment else f"after segment {self.position}"
        else:
            where = self.segment or "the file"
        return f"{where}, line {self.line}, byte {self.offset}"

    def to_json(self) -> dict[str, Any]:
        """All fields, as ``crossplant edi validate --json`` prints them."""
        return structs.asdict(self)

    def to_data(self) -> dict[str, Any]:
        """The fields that the catalogue's Finding has; segment and position only where there are any."""
        plain = structs.asdict(self)
        for name in ("segment", "position"):
            if not plain[name]:
                del plain[name]
        return plain


class Lines:
    """Which line a byte is on. The table of line breaks is made when it is first asked for."""

    def __init__(self, text: str) -> None:
        """``text`` is the body as ISO 8859-1, one character a byte."""
        self._text, self._ends = text, list[int]()

    def line(self, offset: int) -> int:
        """The line, from 1. A carriage return, a line feed, or both end one."""
        if not self._ends:
            self._ends = [found.end() for found in _BREAK.finditer(self._text)] or [len(self._text) + 1]
        return bisect_right(self._ends, offset) + 1


class Findings:
    """What was found in one interchange, in the order in which it was found."""

    def __init__(self, lines: Lines, tolerated: Iterable[str] = ()) -> None:
        """``tolerated`` are codes of errors that an agreement with the partner makes warnings."""
        self._lines, self._tolerated = lines, frozenset(tolerated)
        self._kept: list[Finding] = []
        self._errors = self._others = 0

    @property
    def failed(self) -> bool:
        """Whether there is an error, so that the interchange cannot be taken."""
        return self._errors > 0

    @property
    def all(self) -> list[Finding]:
        """All that were kept, and if there were more, a last one that says how many."""
        more = self._errors + self._others - len(self._kept)
        if not more:
            return list(self._kept)
        severity: Severity = "error" if self._errors > MAX_FINDINGS else "warning"
        text = f"{more} more findings are not listed"
        return [*self._kept, Finding(code="more", severity=severity, message=text)]

    def add(self, severity: Severity, code: str, message: str, place: Place | None = None) -> None:
        """Notes a finding at a place; without one it is about the file."""
        if severity == "error" and code in self._tolerated:
            severity = "warning"
        if severity == "error":
            self._errors += 1
        else:
            self._others += 1
        if (self._errors if severity == "error" else self._others) > MAX_FINDINGS:
            return
        at = place or Spot()
        message = printable(message)
        self._kept.append(
            Finding(
                code=code,
                severity=severity,
                message=message if len(message) <= _SHOWN else f"{message[:_SHOWN]}…",
                segment=printable(at.tag)[:_TAG_SHOWN],
                position=at.position,
                line=self._lines.line(at.offset),
                offset=at.offset,
            )
        )

    def error(self, code: str, message: str, place: Place | None = None) -> None:
        """Notes what makes the interchange impossible to take."""
        self.add("error", code, message, place)

    def warning(self, code: str, message: str, place: Place | None = None) -> None:
        """Notes what is wrong, but does no harm."""
        self.add("warning", code, message, place)

    def info(self, code: str, message: str, place: Place | None = None) -> None:
        """Notes what somebody may want to know."""
        self.add("info", code, message, place)
