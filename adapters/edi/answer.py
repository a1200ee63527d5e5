"""What an answer to an interchange needs: its errors, by the message that each of them stands in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from msgspec import Struct

from adapters.edi.outgoing import ENVELOPE, refuse
from canonical import catalogue

__all__ = ["ACKNOWLEDGEMENTS", "Faults", "errors_of"]

ACKNOWLEDGEMENTS: Final = frozenset({"CONTRL", "APERAK", "997", "999", "TA1"})
"""Messages that answer others, and are never answered."""

_TYPE: Final = "integration.interchange.received"
_INTERCHANGE_SEGMENTS: Final = frozenset({"UNA", "UNB", "UNZ", "ISA", "IEA"})
_GROUP_SEGMENTS: Final = frozenset({"UNG", "UNE", "GS", "GE"})
_INTERCHANGE_CODES: Final = ("interchange_", "separators", "charset", "segment_unterminated", "data_outside")

Found = Mapping[str, Any]


class Faults(Struct, frozen=True, kw_only=True):
    """The errors of an interchange: its own, those of its groups, and each message with its own."""

    interchange: Sequence[Found]
    groups: Sequence[Found]
    messages: Sequence[tuple[Found, Sequence[Found]]]


def errors_of(payload: Mapping[str, Any]) -> Faults:
    """The errors that the data of an interchange event hold.

    Raises Invalid when the payload is no such data, or the interchange is nothing but acknowledgements.
    """
    data = {name: value for name, value in payload.items() if name != ENVELOPE and value is not None}
    found = catalogue.validate(_TYPE, data)
    if found:
        refuse(found[0].pointer.removeprefix("/data"), found[0].detail)
    messages = [message for group in data.get("groups", ()) for message in group["messages"]]
    if messages and all(message["type"] in ACKNOWLEDGEMENTS for message in messages):
        refuse("/groups", "holds acknowledgements only, which are not acknowledged: leave it out by `when`")
    errors = [one for one in data.get("findings", ()) if one["severity"] == "error"]
    return Faults(
        interchange=[one for one in errors if _of_interchange(one)],
        groups=[one for one in errors if not _of_interchange(one) and _owner(one, messages) is None],
        messages=[
            (message, [one for one in errors if _owner(one, messages) is message]) for message in messages
        ],
    )


def _of_interchange(finding: Found) -> bool:
    """Whether an error is one of the interchange as such: a missing trailer stands behind other segments."""
    told = finding.get("segment")
    return told is None or told in _INTERCHANGE_SEGMENTS or finding["code"].startswith(_INTERCHANGE_CODES)


def _owner(finding: Found, messages: Sequence[Found]) -> Found | None:
    """The message that an error stands in; None if it stands in none, or is a group's."""
    position = finding.get("position")
    of_group = finding.get("segment") in _GROUP_SEGMENTS or finding["code"].startswith("group_")
    if position is None or of_group or _of_interchange(finding):
        return None
    for message in messages:
        if message["position"] <= position < message["position"] + message["segments"]:
            return message
    return None
