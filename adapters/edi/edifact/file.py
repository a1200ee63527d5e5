"""Finds the interchanges of an EDIFACT file, and checks the envelope of each.

Source: ISO 9735 (syntax versions 1 to 4). Whatever the bytes, it ends, and every fault is a finding at its
segment. One pass, in which only service segments are taken apart; messages are read later, one at a time.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache
from typing import Final

from adapters.edi.config import EdifactOptions
from adapters.edi.edifact.advice import DEFAULT, UNA_SIZE, read_una
from adapters.edi.edifact.charset import Encoding
from adapters.edi.edifact.service import SERVICE, Service
from adapters.edi.finding import Findings, Lines, Spot, named
from adapters.edi.interchange import Interchange
from adapters.edi.lexer import BLANK, Cut, cuts, split
from adapters.edi.seams import Seams
from adapters.edi.segment import Segment
from adapters.edi.separators import Separators

__all__ = ["interchanges"]

_BOM: Final = "\xef\xbb\xbf"
_BEGIN: Final = re.compile(r"UNA[^\w\s]{2}[^\w\s][^\w]{2}[^\w\s]\s*UNB|UNB\+")
_SEGMENT: Final = re.compile(r"[A-Z]{3}[+:']")


def interchanges(body: bytes, options: EdifactOptions) -> Iterator[Interchange]:
    """Every interchange of a file, and every stretch that is none, in order, with what is wrong with it."""
    yield from _File(body, options).read()


class _File:
    """A file as it is read from its begin to its end."""

    def __init__(self, body: bytes, options: EdifactOptions) -> None:
        self._text = body.decode("iso8859-1")
        self._encoding = Encoding(body.removeprefix(_BOM.encode("iso8859-1")))
        self._lines, self._seams = Lines(self._text), Seams(self._text, SERVICE)
        self._options = options
        self._position = 0
        self._at = len(_BOM) if self._text.startswith(_BOM) else 0

    def read(self) -> Iterator[Interchange]:
        nothing = True
        while self._skip_blank():
            nothing = False
            yield self._next()
        if nothing:
            found = self._findings()
            found.error("no_interchange", "the file is empty")
            yield Interchange(standard="edifact", findings=found)

    def _skip_blank(self) -> bool:
        """Goes to the next character that is more than blank; False at the end."""
        while self._at < len(self._text) and self._text[self._at] in BLANK:
            self._at += 1
        return self._at < len(self._text)

    def _findings(self) -> Findings:
        return Findings(self._lines, self._options.tolerate)

    def _next(self) -> Interchange:
        """What begins at the present place: an interchange, with or without its head, or rubbish."""
        found, start, by = self._findings(), self._at, DEFAULT
        if self._text.startswith("UNA", start):
            try:
                by = read_una(self._text[start : start + UNA_SIZE])
            except ValueError as error:
                found.error("separators", str(error), Spot("UNA", self._position + 1, start))
            self._at += UNA_SIZE
            self._skip_blank()
        elif not self._text.startswith("UNB", start) and not _SEGMENT.match(self._text, start):
            return self._rubbish(found)
        return self._interchange(found, by, advised=by is not DEFAULT)

    def _rubbish(self, found: Findings) -> Interchange:
        """Passes over what is no segment, to where an interchange may begin."""
        begin = _BEGIN.search(self._text, self._at)
        end = begin.start() if begin else len(self._text)
        self._position += 1
        spot, size = Spot(named(self._text, self._at), self._position, self._at), end - self._at
        if begin:
            found.error("data_outside", f"{size} bytes before the interchange are none of it", spot)
        else:
            found.error("no_interchange", "neither UNA nor UNB begins here: this is no EDIFACT", spot)
        self._at = end
        return Interchange(standard="edifact", findings=found, place=spot)

    def _interchange(self, found: Findings, by: Separators, *, advised: bool) -> Interchange:
        """Reads up to the end of one interchange: its UNZ, the next one's begin, or the end of the file."""
        service = Service(found, self._encoding, self._options)
        envelope, first = service.envelope, True
        for cut in cuts(self._text, self._at, len(self._text), by):
            if cut.start == cut.stop:
                envelope.empty(Spot("", self._position, cut.start))
                continue
            tag = "UNB" if self._text.startswith("UNB", cut.start) else self._tag(cut, by)
            if tag in ("UNA", "UNB") and not first:
                self._at = cut.start
                break
            self._position += 1
            spot = Spot(tag, self._position, cut.start)
            if first:
                by = self._head(service, cut, by, spot, advised=advised)
            else:
                self._take(service, cut, by, spot)
            first = False
            envelope.seen(spot)
            self._seams.check(cut, spot, by, found)
            self._at = min(cut.stop + 1, len(self._text))
            if not cut.whole:
                envelope.unterminated(spot)
            if tag == "UNZ" and envelope.headed:
                break
        return service.end(self._text, by)

    def _head(self, service: Service, cut: Cut, by: Separators, spot: Spot, *, advised: bool) -> Separators:
        """Takes the first segment, which should be UNB; returns the separators that hold from there on."""
        if spot.tag != "UNB":
            service.headless(spot)
            self._take(service, cut, by, spot)
            return by
        after = self._text[cut.start + 3 : cut.start + 4]
        if after == by.element:
            return service.header(self._segment(cut, by, spot), by, advised=advised)
        text = f"UNB is followed by {after!r}, and no UNA declares that separator"
        service.envelope.findings.error("separators", text, spot)
        return by

    def _take(self, service: Service, cut: Cut, by: Separators, spot: Spot) -> None:
        if spot.tag in SERVICE:
            service.take(self._segment(cut, by, spot), cut.stop)
        else:
            service.envelope.content(spot, valid=_tag_is_valid(spot.tag))

    def _tag(self, cut: Cut, by: Separators) -> str:
        """The tag of a segment; the usual one is told without taking the segment apart."""
        tag = self._text[cut.start : cut.start + 3]
        after = self._text[cut.start + 3 : cut.start + 4]
        if after in (by.element, by.component, by.terminator) and tag.isalnum():
            return tag
        if tag == "UNA":
            return tag
        return split(self._text[cut.start : cut.stop], by, str)[0][:20]

    def _segment(self, cut: Cut, by: Separators, spot: Spot) -> Segment:
        tag, elements = split(self._text[cut.start : cut.stop], by, str)
        return Segment(tag, elements, spot.position, spot.offset)


@lru_cache(maxsize=500)
def _tag_is_valid(tag: str) -> bool:
    return len(tag) == 3 and tag.isascii() and tag.isalnum() and tag.upper() == tag and tag[0].isalpha()
