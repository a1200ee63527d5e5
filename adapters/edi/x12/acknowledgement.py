"""integration.interchange.received → 997, or TA1 where the interchange itself is at fault.

A 997 answers each functional group: AK2 and AK5 for its sets, AK3 for segments at fault, AK9 for the group.
One error rejects the whole interchange, and so every group and every set.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from adapters.edi.answer import Faults, errors_of
from adapters.edi.config import X12Options
from adapters.edi.outgoing import Envelope
from adapters.edi.x12.writer import Group, Part, write

__all__ = ["acknowledge"]

_VERSION: Final = "004010"
_TA1: Final = {
    "interchange_reference": "001",
    "interchange_count": "021",
    "interchange_trailer_missing": "023",
    "segment_unterminated": "023",
    "interchange_repeated": "025",
}
"""Notes on an interchange (I18); of anything else it is 022, invalid control structure."""
_DUPLICATE, _STRUCTURE = "025", "022"
_SET: Final = {
    "message_type_unmapped": "1",
    "message_trailer_missing": "2",
    "message_reference": "3",
    "segment_count": "4",
    "message_header": "6",
    "message_reference_repeated": "23",
}
"""Errors of a set (718); of a segment within it it is 5."""
_GROUP: Final = {"group_trailer_missing": "3", "group_reference": "4", "group_count": "5"}
_SEGMENT: Final = {"segment_tag": "1", "segment_unknown": "1", "segment_outside": "2", "value_missing": "3"}
"""Errors of a segment (720); of anything else it is 8, errors in its elements."""


def acknowledge(payload: Mapping[str, Any], options: X12Options) -> bytes:
    """The answer to an interchange. Raises Invalid when the payload is not the data of one."""
    envelope = Envelope.read(payload, options, answering=payload)
    faults = errors_of(payload)
    version = str(payload.get("version") or "00401")
    note = _note(payload, faults)
    if note:
        return write(envelope, [], options, version=version, before=[_ta1(payload, note)])
    groups = [
        Group(
            kind="FA",
            set_type="997",
            version=_release(group),
            sets=[list(_answer(group, faults, rejected=payload["outcome"] != "accepted"))],
            sender=str(group.get("receiver") or ""),
            receiver=str(group.get("sender") or ""),
        )
        for group in payload.get("groups", ())
    ]
    return write(envelope, groups, options, version=version)


def _note(data: Mapping[str, Any], faults: Faults) -> str:
    """What is wrong with the interchange as such; empty when the answer is for its groups."""
    if data["outcome"] == "duplicate":
        return _DUPLICATE
    if faults.interchange:
        return _TA1.get(faults.interchange[0]["code"], _STRUCTURE)
    return "" if data.get("groups") else _STRUCTURE


def _ta1(data: Mapping[str, Any], note: str) -> Part:
    prepared = str(data.get("prepared") or "").ljust(10, "0")
    number = "".join(filter(str.isdigit, str(data["reference"])))[-9:].rjust(9, "0")
    return "TA1", number, prepared[:6], prepared[6:10], "R", note


def _release(group: Mapping[str, Any]) -> str:
    """The version of the answer: that of the group, without the industry's suffix."""
    told = str(group.get("version") or "")[:6]
    return told if len(told) == 6 and told.isdigit() else _VERSION


def _answer(group: Mapping[str, Any], faults: Faults, *, rejected: bool) -> Iterator[Part]:
    number = "".join(filter(str.isdigit, str(group.get("reference") or ""))) or "0"
    yield "AK1", str(group.get("type") or ""), number
    for message in group["messages"]:
        found = next((errors for one, errors in faults.messages if one is message), ())
        yield from _verdict(message, found, rejected=rejected)
    count = str(len(group["messages"]))
    if not rejected:
        yield "AK9", "A", count, count, count
        return
    own = dict.fromkeys(_GROUP[one["code"]] for one in faults.groups if one["code"] in _GROUP)
    yield "AK9", "R", count, count, "0", *list(own)[:5]


def _verdict(
    message: Mapping[str, Any], found: Sequence[Mapping[str, Any]], *, rejected: bool
) -> Iterator[Part]:
    yield "AK2", message["type"], message["reference"]
    if not rejected:
        yield "AK5", "A"
        return
    codes = [_SET[one["code"]] for one in found if one["code"] in _SET]
    for one in found:
        if one["code"] not in _SET:
            place = str(one["position"] - message["position"] + 1)
            yield "AK3", str(one.get("segment") or ""), place, "", _SEGMENT.get(one["code"], "8")
            codes.append("5")
    yield "AK5", "R", *list(dict.fromkeys(codes))[:5]
