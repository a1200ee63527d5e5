"""The service segments of EDIFACT, as they are laid out in ISO 9735: UNB, UNG, UNH, UNT, UNE, UNZ."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from msgspec import structs

from adapters.edi.config import EdifactOptions
from adapters.edi.edifact.charset import CODECS, Encoding
from adapters.edi.envelope import EDIFACT, Envelope
from adapters.edi.finding import Findings, Spot, printable
from adapters.edi.interchange import Group, Interchange, Message
from adapters.edi.lexer import Decode, tokens
from adapters.edi.segment import Segment
from adapters.edi.separators import Separators

__all__ = ["SERVICE", "Service"]

SERVICE: Final = frozenset({"UNB", "UNG", "UNH", "UNT", "UNE", "UNZ"})

_REPETITION: Final = "*"
_HEADER: Final = (
    (1, 1, "syntax identifier"),
    (1, 2, "syntax version"),
    (2, 1, "sender"),
    (3, 1, "recipient"),
    (4, 1, "date"),
    (5, 1, "control reference"),
)


class Service:
    """Reads service segments, and tells the envelope what they say."""

    def __init__(self, findings: Findings, encoding: Encoding, options: EdifactOptions) -> None:
        self.envelope = Envelope(Interchange(standard="edifact", findings=findings), EDIFACT)
        self._encoding, self._options = encoding, options
        self._decode: Decode = str

    def header(self, unb: Segment, by: Separators, *, advised: bool) -> Separators:
        """Takes the UNB. Returns the separators, with the repetition separator of its syntax version."""
        one = self.envelope.interchange
        one.place = Spot(unb.tag, unb.position, unb.offset)
        identifier, syntax = unb.text(1), unb.text(1, 2)
        if identifier and identifier not in CODECS:
            text = f"syntax identifier {identifier!r} is not one of ISO 9735"
            one.findings.warning("charset_unknown", text, unb)
        self._choose_charset(identifier, unb)
        one.version = printable(f"{identifier}:{syntax}")
        one.sender, one.sender_qualifier = self._text(unb, 2), printable(unb.text(2, 2))
        one.receiver, one.receiver_qualifier = self._text(unb, 3), printable(unb.text(3, 2))
        one.prepared = "".join(filter(str.isdigit, unb.text(4) + unb.text(4, 2)))
        one.reference = self._text(unb, 5)
        one.test = unb.text(11) not in ("", "0") or self._options.mode == "test"
        missing = [name for element, part, name in _HEADER if not unb.text(element, part).strip()]
        if missing:
            one.findings.error("interchange_header", f"UNB has no {', no '.join(missing)}", unb)
        repetition = (by.repetition if advised else _REPETITION) if syntax.startswith("4") else ""
        return structs.replace(by, repetition=repetition)

    def headless(self, spot: Spot) -> None:
        """Notes that there is no UNB."""
        self.envelope.headless(spot)
        self._choose_charset("", Segment(spot.tag, [], spot.position, spot.offset))

    def take(self, segment: Segment, stop: int) -> None:
        """Takes a service segment; ``stop`` is the byte after its last one."""
        match segment.tag:
            case "UNG":
                self.envelope.open_group(self._group(segment), segment)
            case "UNH":
                self.envelope.open_message(self._message(segment), segment)
            case "UNT":
                self.envelope.close_message(segment, self._text(segment, 2), stop)
            case "UNE":
                self.envelope.close_group(segment, self._text(segment, 2))
            case _:
                self.envelope.close(segment, self._text(segment, 2))

    def end(self, text: str, by: Separators) -> Interchange:
        """The interchange, with its messages ready to be read."""
        decode = self._decode

        def read(message: Message) -> Iterator[Segment]:
            return tokens(text, message.start, message.end, by, decode, message.position)

        interchange = self.envelope.end()
        interchange.tokens = read
        return interchange

    def _choose_charset(self, identifier: str, place: Segment) -> None:
        findings = self.envelope.findings
        try:
            self._decode, oddity = self._encoding.read_as(identifier, self._options.charset)
        except ValueError as error:
            findings.error("charset", f"the interchange {error}", place)
            return
        if oddity:
            findings.warning("charset", f"the interchange {oddity}", place)

    def _text(self, segment: Segment, element: int) -> str:
        text = segment.text(element)
        return printable(text if text.isascii() else self._decode(text)).strip()

    def _group(self, ung: Segment) -> Group:
        version = ".".join(filter(None, (ung.text(7), ung.text(7, 2))))
        return Group(
            type=self._text(ung, 1),
            reference=self._text(ung, 5),
            version=printable(version),
            sender=self._text(ung, 2),
            receiver=self._text(ung, 3),
            explicit=True,
        )

    def _message(self, unh: Segment) -> Message:
        return Message(
            type=self._text(unh, 2),
            version=printable(".".join(filter(None, (unh.text(2, 2), unh.text(2, 3).strip())))),
            reference=self._text(unh, 1),
            place=Spot(unh.tag, unh.position, unh.offset),
            start=unh.offset,
            end=unh.offset,
            position=unh.position,
            segments=1,
        )
