"""integration.interchange.received → CONTRL: an interchange is acknowledged, or rejected and why.

ISO 9735-4. UCI speaks for the interchange; where only messages are at fault UCI acknowledges it (7) and each
UCM rejects its message (4), since an interchange is taken as a whole or not at all; UCS names the segments.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from adapters.edi.answer import Faults, errors_of
from adapters.edi.config import EdifactOptions
from adapters.edi.edifact.writer import Outgoing, Part, limited, write
from adapters.edi.outgoing import Envelope

__all__ = ["acknowledge"]

_VERSION: Final = ("D", "3", "UN")
_ACKNOWLEDGED, _REJECTED = "7", "4"
_DUPLICATE: Final = "26"
_UNSPECIFIED: Final = "18"
_ERRORS: Final = {
    "charset": "21",
    "control_character": "21",
    "date": "12",
    "group_count": "29",
    "group_header_missing": "13",
    "group_reference": "28",
    "group_trailer_missing": "13",
    "interchange_count": "29",
    "interchange_header": "13",
    "interchange_reference": "28",
    "interchange_repeated": "26",
    "interchange_trailer_missing": "13",
    "message_header": "13",
    "message_header_missing": "13",
    "message_reference": "28",
    "message_reference_repeated": "26",
    "message_trailer_missing": "13",
    "message_type_unmapped": "17",
    "number": "12",
    "segment_count": "29",
    "segment_missing": "13",
    "segment_misplaced": "15",
    "segment_outside": "33",
    "segment_repeated": "35",
    "segment_unterminated": "13",
    "segment_unknown": "15",
    "value_missing": "13",
}
"""Syntax error codes (0085) of findings; of any other it is 18, unspecified."""
_MISSING: Final = {
    "interchange_trailer_missing": "UNZ",
    "segment_unterminated": "UNZ",
    "group_trailer_missing": "UNE",
}
"""The service segment that is missing behind the one where it was noticed."""
_SERVICE: Final = ("UNH", "UNT")


def acknowledge(payload: Mapping[str, Any], options: EdifactOptions) -> bytes:
    """The CONTRL that answers an interchange. Raises Invalid when the payload is not the data of one."""
    envelope = Envelope.read(payload, options, answering=payload)
    body = list(_message(payload, errors_of(payload)))
    return write(envelope, [Outgoing(type="CONTRL", version=_VERSION, body=body)], options)


def _message(data: Mapping[str, Any], faults: Faults) -> Iterator[Part]:
    sender, receiver = (
        [str(data[name]), str(data.get(f"{name}_qualifier") or "")] for name in ("sender", "receiver")
    )
    reference = limited(str(data["reference"]), 14, "/reference")
    if data["outcome"] == "duplicate":
        yield "UCI", reference, sender, receiver, _REJECTED, _DUPLICATE, "UNB"
        return
    if own := [*faults.interchange, *faults.groups]:
        told = str(own[0].get("segment") or "")
        tag = _MISSING.get(own[0]["code"]) or (told if told.startswith("UN") else "UNB")
        yield "UCI", reference, sender, receiver, _REJECTED, _code(own[0]), tag
        return
    yield "UCI", reference, sender, receiver, _ACKNOWLEDGED
    rejected = data["outcome"] != "accepted"
    for message, found in faults.messages:
        yield from _verdict(message, found, rejected=rejected)


def _verdict(
    message: Mapping[str, Any], found: Sequence[Mapping[str, Any]], *, rejected: bool
) -> Iterator[Part]:
    version = [*str(message["version"]).split("."), "", ""][:2]
    identifier = [message["type"], *version, "UN"]
    if not rejected:
        yield "UCM", message["reference"], identifier, _ACKNOWLEDGED
        return
    own = next((one for one in found if one.get("segment") in _SERVICE), None)
    code = _code(own or found[0]) if found else _UNSPECIFIED
    tag = str(own["segment"]) if own else ""
    yield "UCM", message["reference"], identifier, _REJECTED, code, tag
    for one in found:
        if one.get("segment") not in _SERVICE:
            yield "UCS", str(one["position"] - message["position"] + 1), _code(one)


def _code(finding: Mapping[str, Any]) -> str:
    return _ERRORS.get(finding["code"], _UNSPECIFIED)
