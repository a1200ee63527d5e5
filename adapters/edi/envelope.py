"""The envelope of one interchange: what must open, what must close, and what a trailer must agree with.

The same for both standards, which differ in the tags and in how their service segments are laid out.
"""

from __future__ import annotations

from collections.abc import Callable

from msgspec import Struct

from adapters.edi.finding import Findings, Place, Spot
from adapters.edi.interchange import Group, Interchange, Message
from adapters.edi.segment import Segment

__all__ = ["EDIFACT", "X12", "Envelope", "Rules"]


class Rules(Struct, frozen=True, kw_only=True):
    """The tags of a standard's envelope. ``same`` says whether two references are one.

    ``grouped``: messages stand in groups only, and their references are unique within their group.
    """

    header: str
    trailer: str
    group_header: str
    group_trailer: str
    message_header: str
    message_trailer: str
    same: Callable[[str, str], bool]
    grouped: bool = False


def _same_number(one: str, other: str) -> bool:
    """Whether two control numbers are equal; leading zeros do not count."""
    numbers = one.isascii() and other.isascii() and one.isdigit() and other.isdigit()
    return one.lstrip("0") == other.lstrip("0") if numbers else one == other


EDIFACT = Rules(
    header="UNB",
    trailer="UNZ",
    group_header="UNG",
    group_trailer="UNE",
    message_header="UNH",
    message_trailer="UNT",
    same=str.__eq__,
)
X12 = Rules(
    header="ISA",
    trailer="IEA",
    group_header="GS",
    group_trailer="GE",
    message_header="ST",
    message_trailer="SE",
    same=_same_number,
    grouped=True,
)


class Envelope:
    """Builds an interchange of what its file's reader finds, in order."""

    def __init__(self, interchange: Interchange, rules: Rules) -> None:
        self._interchange, self._rules = interchange, rules
        self._group: Group | None = None
        self._message: Message | None = None
        self._references: set[str] = set()
        self._empty = 0
        self._stray = self._closed = False
        self._headed = True
        self._last: Place = Spot()

    @property
    def interchange(self) -> Interchange:
        """What is being built."""
        return self._interchange

    @property
    def findings(self) -> Findings:
        """Where the faults go."""
        return self._interchange.findings

    @property
    def headed(self) -> bool:
        """Whether it has a header; one without goes on until another interchange begins."""
        return self._headed

    def seen(self, place: Place) -> None:
        """Notes the newest segment: a missing trailer should stand behind it."""
        self._last = place

    def headless(self, place: Place) -> None:
        """Notes that the first segment is no header."""
        self._headed = False
        self._interchange.place = Spot(place.tag, place.position, place.offset)
        self.findings.error(
            "interchange_header_missing",
            f"the interchange begins with {place.tag}, not with {self._rules.header}",
            place,
        )

    def loose(self, message: Message) -> None:
        """Takes a message of one segment that stands outside of groups (X12 TA1)."""
        self._interchange.groups.append(Group(messages=[message]))

    def content(self, place: Place, *, valid: bool) -> None:
        """Takes a segment that is none of the envelope's."""
        if not valid:
            self.findings.error("segment_tag", f"{place.tag!r} is no segment tag", place)
        if self._message is not None:
            self._message.segments += 1
        elif not self._stray:
            self._stray = True
            self.findings.error("segment_outside", f"{place.tag} stands outside of any message", place)

    def empty(self, place: Place) -> None:
        """Notes a terminator without a segment."""
        self._empty += 1
        self.findings.warning("segment_empty", "an empty segment: two terminators in a row", place)

    def unterminated(self, place: Place) -> None:
        """Notes that the file ends within a segment."""
        if place.tag == self._rules.trailer:
            self.findings.warning("segment_unterminated", "the last segment has no terminator", place)
        else:
            self.findings.error("segment_unterminated", "the file ends within this segment", place)

    def open_group(self, group: Group, header: Segment) -> None:
        """A group begins."""
        self._close_open(self._last)
        self._group = group
        self._interchange.groups.append(group)
        if self._rules.grouped:
            self._references.clear()

    def open_message(self, message: Message, header: Segment) -> None:
        """A message begins."""
        self._close_open_message(self._last)
        if self._group is None:
            self._group = Group()
            self._interchange.groups.append(self._group)
            if self._rules.grouped:
                text = f"{header.tag} stands outside of any group"
                self.findings.error("group_header_missing", text, header)
        if not (message.reference and message.type):
            missing = "reference" if message.type else "type"
            self.findings.error("message_header", f"{header.tag} has no {missing}", header)
        if message.reference in self._references:
            text = f"message reference {message.reference!r} is there twice"
            self.findings.error("message_reference_repeated", text, header)
        self._references.add(message.reference)
        message.group = self._group.reference
        self._empty, self._message = 0, message
        self._group.messages.append(message)

    def close_message(self, trailer: Segment, reference: str, stop: int) -> None:
        """A message's trailer; ``stop`` is the byte after its last one."""
        message, self._message = self._message, None
        if message is None:
            text = f"{trailer.tag} without {self._rules.message_header}"
            self.findings.error("message_header_missing", text, trailer)
            return
        message.segments += 1
        message.end = stop + 1
        counted, told = message.segments, trailer.text(1).strip()
        if self._empty and told in (str(counted), str(counted + self._empty)):
            text = f"{trailer.tag} says {told} segments; {counted + self._empty} were counted with empty ones"
            self.findings.warning("segment_count", text, trailer)
        else:
            self._count("segment_count", trailer, counted, "segments")
        self._agree("message_reference", trailer, reference, message.reference)

    def close_group(self, trailer: Segment, reference: str) -> None:
        """A group's trailer."""
        group = self._group
        if group is None or not group.explicit:
            text = f"{trailer.tag} without {self._rules.group_header}"
            self.findings.error("group_header_missing", text, trailer)
            return
        self._close_open_message(self._last)
        self._count("group_count", trailer, len(group.messages), "messages")
        self._agree("group_reference", trailer, reference, group.reference)
        self._group = None

    def close(self, trailer: Segment, reference: str) -> None:
        """The interchange's trailer."""
        self._close_open(self._last)
        self._closed = True
        groups = [group for group in self._interchange.groups if group.explicit]
        if groups or self._rules.grouped:
            self._count("interchange_count", trailer, len(groups), "groups")
        else:
            self._count("interchange_count", trailer, len(self._interchange.messages), "messages")
        self._agree("interchange_reference", trailer, reference, self._interchange.reference)

    def end(self) -> Interchange:
        """The interchange, with what is still open noted as missing its trailer."""
        self._close_open(self._last)
        if not self._closed:
            text = f"the interchange ends without {self._rules.trailer}: it may be cut off"
            self.findings.error("interchange_trailer_missing", text, self._last)
        return self._interchange

    def _close_open_message(self, place: Place) -> None:
        if self._message is not None:
            text = f"message {self._message.reference!r} has no {self._rules.message_trailer}"
            self.findings.error("message_trailer_missing", text, place)
            self._message = None

    def _close_open(self, place: Place) -> None:
        self._close_open_message(place)
        if self._group is not None and self._group.explicit:
            text = f"group {self._group.reference!r} has no {self._rules.group_trailer}"
            self.findings.error("group_trailer_missing", text, place)
        self._group = None

    def _count(self, code: str, trailer: Segment, counted: int, what: str) -> None:
        told = trailer.text(1).strip()
        if not (told.isascii() and told.isdigit()) or int(told[:18]) != counted:
            text = f"{trailer.tag} says {told or 'nothing'}, but {counted} {what} were counted"
            self.findings.error(code, text, trailer)

    def _agree(self, code: str, trailer: Segment, told: str, opened: str) -> None:
        if not self._rules.same(told, opened):
            self.findings.error(code, f"{trailer.tag} names {told!r}, its header {opened!r}", trailer)
