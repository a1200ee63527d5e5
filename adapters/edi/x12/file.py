"""Finds the interchanges of an X12 file, and checks the envelope of each.

ISA and IEA around GS and GE around ST and SE; TA1 may stand between ISA and the first GS. Whatever the bytes,
it ends, and every fault is a finding at its segment.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from adapters.edi.config import X12Options
from adapters.edi.envelope import X12, Envelope
from adapters.edi.finding import Findings, Lines, Spot, named, printable
from adapters.edi.interchange import Group, Interchange, Message
from adapters.edi.lexer import BLANK, Cut, Decode, cuts, split, tokens
from adapters.edi.seams import Seams
from adapters.edi.segment import Segment
from adapters.edi.separators import Separators
from adapters.edi.x12.isa import Isa, read_isa

__all__ = ["decoder_of", "interchanges"]

_BOM: Final = "\xef\xbb\xbf"
_BEGIN: Final = re.compile(r"ISA([^\w\s]|[\x1c-\x1f\t])..\1")
_SEGMENT: Final = re.compile(r"[A-Z][A-Z0-9]{1,2}([*|~^]|[\x1c-\x1f])")
_TAG: Final = re.compile(r"[A-Z][A-Z0-9]{1,2}")
_SERVICE: Final = frozenset({"TA1", "GS", "ST", "SE", "GE", "IEA"})
_TERMINATORS: Final = "~\n\r\x1c"


def interchanges(body: bytes, options: X12Options) -> Iterator[Interchange]:
    """Every interchange of a file, and every stretch that is none, in order, with what is wrong with it."""
    yield from _File(body, options).read()


def decoder_of(body: bytes, charset: str | None) -> Decode:
    """How to read what is not ASCII: as agreed, else as UTF-8 where the file is that, else ISO 8859-1.

    Raises ValueError when the file cannot be read as agreed.
    """
    if body.isascii() or charset == "iso-8859-1":
        return str
    try:
        body.decode("utf-8")
    except UnicodeDecodeError as error:
        if charset:
            raise ValueError(f"byte {error.start} and what follows is no UTF-8, which was agreed") from error
        return str
    return lambda text: text.encode("iso8859-1").decode("utf-8", errors="replace")


class _File:
    """A file as it is read from its begin to its end."""

    def __init__(self, body: bytes, options: X12Options) -> None:
        self._text = body.decode("iso8859-1")
        self._lines, self._seams, self._options = Lines(self._text), Seams(self._text, _SERVICE), options
        self._decode: Decode = str
        self._undecodable = ""
        try:
            self._decode = decoder_of(body.removeprefix(_BOM.encode("iso8859-1")), options.charset)
        except ValueError as error:
            self._undecodable = str(error)
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
            yield Interchange(standard="x12", findings=found)

    def _skip_blank(self) -> bool:
        while self._at < len(self._text) and self._text[self._at] in BLANK:
            self._at += 1
        return self._at < len(self._text)

    def _findings(self) -> Findings:
        return Findings(self._lines, self._options.tolerate)

    def _next(self) -> Interchange:
        """What begins at the present place: an interchange, with or without its head, or rubbish."""
        found = self._findings()
        if self._text.startswith("ISA", self._at):
            try:
                isa = read_isa(self._text, self._at)
            except ValueError as error:
                return self._rubbish(found, "separators", str(error))
            return self._interchange(found, isa.separators, isa)
        headless = _SEGMENT.match(self._text, self._at)
        if headless is None:
            return self._rubbish(found, "no_interchange", "no ISA begins here: this is no X12")
        by = Separators(
            component=">",
            element=headless.group(1),
            release="",
            terminator=self._terminator(headless.group(1)),
        )
        return self._interchange(found, by, None)

    def _terminator(self, element: str) -> str:
        """What seems to end segments, where no ISA says so."""
        usual = (mark for mark in _TERMINATORS if mark != element and self._text.find(mark, self._at) >= 0)
        return next(usual, "\n")

    def _rubbish(self, found: Findings, code: str, text: str) -> Interchange:
        """Passes over what is no segment, to where an interchange may begin."""
        begin = _BEGIN.search(self._text, self._at + 1)
        end = begin.start() if begin else len(self._text)
        self._position += 1
        spot = Spot(named(self._text, self._at), self._position, self._at)
        if begin and code == "no_interchange":
            code, text = "data_outside", f"{end - self._at} bytes before the interchange are none of it"
        found.error(code, text, spot)
        self._at = end
        return Interchange(standard="x12", findings=found, place=spot)

    def _interchange(self, found: Findings, by: Separators, isa: Isa | None) -> Interchange:
        """Reads up to the end of one interchange: its IEA, the next one's begin, or the end of the file."""
        envelope = Envelope(Interchange(standard="x12", findings=found), X12)
        if isa is not None:
            self._header(envelope, isa)
        for cut in cuts(self._text, self._at, len(self._text), by):
            if cut.start == cut.stop:
                envelope.empty(Spot("", self._position, cut.start))
                continue
            tag = self._text[cut.start : cut.stop].partition(by.element)[0][:20].strip()
            if tag == "ISA":
                self._at = cut.start
                break
            self._position += 1
            spot = Spot(tag, self._position, cut.start)
            if isa is None and envelope.interchange.place.position == 0:
                envelope.headless(spot)
            self._take(envelope, cut, by, spot)
            envelope.seen(spot)
            self._seams.check(cut, spot, by, found)
            self._at = min(cut.stop + len(by.terminator), len(self._text))
            if not cut.whole:
                envelope.unterminated(spot)
            if tag == "IEA" and envelope.headed:
                break
        return self._ended(envelope, by)

    def _ended(self, envelope: Envelope, by: Separators) -> Interchange:
        def read(message: Message) -> Iterator[Segment]:
            return tokens(self._text, message.start, message.end, by, self._decode, message.position)

        interchange = envelope.end()
        interchange.tokens = read
        return interchange

    def _header(self, envelope: Envelope, isa: Isa) -> None:
        self._position += 1
        one, spot = envelope.interchange, Spot("ISA", self._position, self._at)
        one.place = spot
        texts = (isa.text(number, self._decode) for number in range(1, len(isa.elements) + 1))
        said = ["", *map(printable, texts)]
        one.sender_qualifier, one.sender = said[5], said[6]
        one.receiver_qualifier, one.receiver = said[7], said[8]
        one.prepared = "".join(filter(str.isdigit, said[9] + said[10]))
        one.version, one.reference = said[12], said[13]
        one.test = said[15] == "T" or self._options.mode == "test"
        if self._undecodable:
            one.findings.error("charset", self._undecodable, spot)
        if not isa.fixed:
            one.findings.warning("isa_width", "elements of ISA do not have their fixed widths", spot)
        if isa.separators.component == "~" and isa.separators.terminator in "\r\n":
            text = "ISA16 is ~ and a line break ends segments: the component separator seems to be left out"
            one.findings.warning("isa_separators", text, spot)
        missing = [name for name, value in (("sender", one.sender), ("receiver", one.receiver)) if not value]
        missing += [] if one.reference else ["control number"]
        if missing:
            one.findings.error("interchange_header", f"ISA has no {', no '.join(missing)}", spot)
        envelope.seen(spot)
        self._at += isa.size

    def _take(self, envelope: Envelope, cut: Cut, by: Separators, spot: Spot) -> None:
        if spot.tag not in _SERVICE:
            envelope.content(spot, valid=_TAG.fullmatch(spot.tag) is not None)
            return
        tag, elements = split(self._text[cut.start : cut.stop], by, self._decode)
        segment = Segment(tag, elements, spot.position, spot.offset)
        second = _plain(segment, 2, by)
        match tag:
            case "GS":
                said = ["", *(_plain(segment, element, by) for element in range(1, 9))]
                group = Group(
                    type=said[1],
                    reference=said[6],
                    version=said[8].partition(by.component)[0],
                    sender=said[2],
                    receiver=said[3],
                    explicit=True,
                )
                envelope.open_group(group, segment)
            case "ST":
                envelope.open_message(_message(segment, second, envelope.interchange), segment)
            case "TA1":
                answer = _message(segment, _plain(segment, 1, by), envelope.interchange)
                answer.type, answer.end = tag, cut.stop + 1
                envelope.loose(answer)
            case "SE":
                envelope.close_message(segment, second, cut.stop)
            case "GE":
                envelope.close_group(segment, second)
            case _:
                envelope.close(segment, second)


def _plain(segment: Segment, element: int, by: Separators) -> str:
    """An element as it stands: a control number that is a composite does not equal its header's."""
    return printable(by.component.join(segment.components(element))).strip()


def _message(st: Segment, reference: str, interchange: Interchange) -> Message:
    return Message(
        type=printable(st.text(1)).strip(),
        version=interchange.groups[-1].version if interchange.groups else "",
        reference=reference,
        place=Spot(st.tag, st.position, st.offset),
        start=st.offset,
        end=st.offset,
        position=st.position,
        segments=1,
    )
