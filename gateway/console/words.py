"""Plain words: what a type of event is, what went wrong, and what most likely mends it."""

from __future__ import annotations

import re
from contextlib import suppress
from typing import Any, Final

import msgspec

from canonical import catalogue

__all__ = ["fault", "number", "repair", "size", "text", "type_title", "value"]

_SHOWN: Final = 20_000


def number(value: float) -> str:
    """``1,240``."""
    return f"{value:,.0f}"


def size(count: int) -> str:
    """``512 bytes``, ``3.4 kB``, ``1.2 MB``."""
    if count < 1000:
        return f"{count} byte{'s' if count != 1 else ''}"
    return f"{count / 1000:.1f} kB" if count < 1_000_000 else f"{count / 1_000_000:.1f} MB"


def text(content: bytes) -> str:
    """Bytes for a page: JSON indented, other text as it is, of what is none its size; 20,000 signs."""
    try:
        shown = content.decode()
    except UnicodeDecodeError:
        return f"{size(len(content))} that are no text"
    with suppress(msgspec.DecodeError):
        shown = msgspec.json.format(content, indent=2).decode()
    return shown if len(shown) <= _SHOWN else f"{shown[:_SHOWN]}\n…"


def value(of: Any) -> str:
    """A value of JSON in a table: text as it is, the rest as JSON."""
    return of if isinstance(of, str) else msgspec.json.encode(of).decode()


def type_title(name: str) -> str:
    """``com.crossplant.procurement.asn.received.v1`` → ``ASN received``."""
    if not name:
        return "Message"
    try:
        parts = catalogue.get(name).suffix.split(".")
    except catalogue.UnknownType:
        return name
    said = " ".join(parts[1:]).replace("_", " ")
    if parts[0] in {"production", "sales", "maintenance", "quality"} or len(parts) == 2:
        said = f"{parts[0]} {said}"
    return (said[0].upper() + said[1:]).replace("Asn", "ASN")


_FAULTS: Final = {
    "not_json": "is not valid JSON",
    "not_xml": "is not well-formed XML",
    "not_utf8": "is not text in the agreed encoding",
    "encoding": "is not text in the agreed encoding",
    "truncated": "ends too early",
    "empty": "is empty",
    "too_large": "is larger than allowed",
    "content_type": "has a content type that was not agreed",
    "no_rule": "fits none of the rules that say what it is",
    "no_records": "holds no records",
    "conflict": "has an id that came before with other content",
    "invalid": "has fields that the catalogue does not allow",
    "many_faults": "has many faults",
    "segment_unterminated": "ends within a segment: it was cut",
    "interchange_trailer_missing": "ends before its interchange does: it was cut",
    "message_trailer_missing": "ends before its message does: it was cut",
    "terminator_missing": "ends within a segment: it was cut",
    "no_interchange": "holds no interchange",
    "interchange_header": "has a wrong interchange header",
    "interchange_repeated": "is an interchange that came before",
    "segment_tag": "holds something that is no segment",
    "charset": "is not in the character set that it names",
}
_MAPPING: Final = {"mapping", "expression"}
_OF_TARGET: Final = {
    "401": "does not accept our credentials",
    "403": "does not let us in",
    "404": "knows no such address",
    "409": "says that the document conflicts with another",
    "413": "says that the document is too large",
    "415": "does not take this content type",
}


def fault(kind: str, code: str, *, adapter: str, route: str, target: str) -> str:
    """One line: who refused what, without the details of one message."""
    if kind == "message":
        said = _FAULTS.get(code) or f"was refused: {code}".replace("_", " ")
        return f"What {adapter or 'a sender'} sent {said}"
    if code.startswith("http_"):
        status = code.removeprefix("http_")
        return f"{target or route} {_OF_TARGET.get(status, 'refused the document')} (HTTP {status})"
    if code in _MAPPING:
        return f"The map of route {route} does not fit the event"
    if code in {"timeout", "connection_refused", "connection_lost", "unreachable", "transient"}:
        return f"{target or route} could not be reached for too long"
    return f"{target or route} did not take it ({code})"


_LACKING: Final = re.compile(r"Key not found in map : \"([^\"]*)\"")


def repair(kind: str, code: str, error: str, *, adapter: str, route: str, target: str) -> str:
    """What most likely mends it, first things first."""
    if kind == "message":
        return _of_message(code, adapter)
    if code in {"http_401", "http_403"}:
        return f"Give {target} valid credentials in the configuration, reload, then retry."
    if code in {"http_404", "http_405", "http_415"}:
        return f"Correct the address or the format of route {route} in the configuration, reload, then retry."
    if code.startswith("http_4"):
        return (
            f"{target} has read the document and said no: put right there what it complains about, "
            "then retry. If the document is not needed any more, discard it with the reason."
        )
    if code in _MAPPING and (lacking := _LACKING.search(error)):
        return (
            f"The event has no “{lacking[1]}”, which the map of route {route} needs. Find out what it is and "
            "edit the event's data. If the map should do without it, correct it in the configuration and "
            "reload; a dry run shows whether that was enough."
        )
    if code in _MAPPING:
        return (
            f"If the event lacks something, edit its data. If the map of route {route} is wrong, correct it "
            "in the configuration and reload; a dry run shows whether that was enough. Then retry."
        )
    return f"See that {target or route} answers again, then retry."


def _of_message(code: str, adapter: str) -> str:
    if code == "conflict":
        return (
            "Ask the sender which of the two is right. A retry cannot help while the id is the same; "
            "discard this one when the first is right."
        )
    if code in {"no_rule", "content_type", "invalid"}:
        return (
            f"If the message is right, teach adapter {adapter} its format in the configuration, reload, then "
            "retry. If it is wrong, ask the sender for a correct one and discard this."
        )
    return (
        f"It cannot be read as it is: ask the sender behind {adapter} to send it again, and discard this one "
        "when the new one is here. If the format is set up wrongly, correct it, reload, then retry."
    )
