"""Line breaks within segments: of a file wrapped at a column, or where a terminator is missing."""

from __future__ import annotations

import re
from collections import Counter
from typing import Final

from adapters.edi.finding import Findings, Spot
from adapters.edi.lexer import BLANK, Cut
from adapters.edi.separators import Separators

__all__ = ["Seams"]

_NARROWEST: Final = 20
_USUAL: Final = 0.9
"""The part of a wrapped file's lines that have the usual length, at least."""


class Seams:
    """Looks at the segments of one file for line breaks that are no data."""

    def __init__(self, text: str, service: frozenset[str]) -> None:
        """``service`` are the tags of the envelope, whose line breaks are all told."""
        self._text, self._service, self._told = text, service, False
        self._breaks = [mark for mark in "\r\n" if mark in text]
        self._wrapped: bool | None = None

    def check(self, cut: Cut, spot: Spot, by: Separators, found: Findings) -> None:
        """Notes a line break in a segment; of a wrapped file the first one, and those of the envelope."""
        if all(self._text.find(mark, cut.start, cut.stop) < 0 for mark in self._breaks):
            return
        if self._wrapped is None:
            self._wrapped = _is_wrapped(self._text)
        if self._wrapped:
            if not self._told or spot.tag in self._service:
                found.info("wrapped", "the file is wrapped at a column; this line break is no data", spot)
            self._told = True
            return
        raw = self._text[cut.start : cut.stop]
        if re.search(rf"[\r\n]\s*[A-Z][A-Z0-9]{{1,2}}{re.escape(by.element)}", raw):
            text = "a terminator is missing: another segment begins within this one, on a line of its own"
            found.error("terminator_missing", text, spot)
        elif cut.whole:
            found.warning("line_break", "a line break within the segment; it is no data", spot)


def _is_wrapped(text: str) -> bool:
    """Whether nearly all lines have the same length, in characters."""
    lines = text.rstrip(BLANK).encode("iso8859-1").decode(errors="replace").splitlines()[:-1]
    sizes = Counter(map(len, lines))
    if len(lines) < 2:
        return False
    usual, times = sizes.most_common(1)[0]
    return usual >= _NARROWEST and times >= _USUAL * len(lines)
