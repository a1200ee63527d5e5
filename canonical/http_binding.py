"""The binary content mode of the CloudEvents HTTP binding: attributes as ``ce-`` headers, data as the body.

Source: HTTP Protocol Binding for CloudEvents 1.0.2, section 3.1. Headers have no types, so extensions
that nobody has defined here are text.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote_to_bytes

import msgspec

from canonical.attributes import REQUIRED, Fault, is_json, not_valid, read_attributes
from canonical.errors import Invalid
from canonical.event import Event, to_json
from canonical.jsontext import MAX_BYTES, MAX_DEPTH, read_json

__all__ = ["parse_binary", "to_binary"]

_PREFIX = "ce-"
_CONTENT_TYPE = "content-type"
_RESERVED = frozenset({"data", "datacontenttype"})
_QUOTED = re.compile(r'"((?:[^"\\]|\\.)*)"')
_ESCAPE = re.compile(r"\\(.)")
_HALF_PERCENT = re.compile(r"%(?![0-9A-Fa-f]{2})")
_TO_ENCODE = re.compile(r"[^\x21\x23\x24\x26-\x7e]")
_TEXT_TYPE = re.compile(r"text/|application/xml\b|[^;]*\+xml\b", re.IGNORECASE)
_CHARSET = re.compile(r';[ \t]*charset="?([^\s;"]+)', re.IGNORECASE)


def parse_binary(
    headers: Mapping[str, str], body: bytes, *, max_bytes: int = MAX_BYTES, max_depth: int = MAX_DEPTH
) -> Event:
    """The event of a message in binary mode. Raises Invalid with all faults as (header, detail).

    JSON becomes ``data``, text in UTF-8, too; all other bytes, as they are, ``data_base64``.
    """
    if len(body) > max_bytes:
        raise Invalid(
            f"the body has {len(body):,} bytes, at most {max_bytes:,} are allowed", code="too_large"
        )
    faults: list[Fault] = []
    content_type, members, named = _members(headers, faults)
    if content_type:
        members.append(("datacontenttype", content_type))
    fields = read_attributes(members, faults, _header)
    faults += [(_PREFIX + name, "is missing") for name in REQUIRED if name not in named]
    if body:
        fields |= _data(body, content_type, max_depth, faults)
    if faults:
        raise not_valid(faults)
    return Event(**fields)


def _header(name: str) -> str:
    return _CONTENT_TYPE if name == "datacontenttype" else _PREFIX + name


def _members(
    headers: Mapping[str, str], faults: list[Fault]
) -> tuple[str | None, list[tuple[str, str]], set[str]]:
    """The content type, the attributes of the headers that could be decoded, and all names seen."""
    content_type, members, named = None, [], set()
    for header, value in headers.items():
        lower = header.lower()
        name = lower.removeprefix(_PREFIX)
        if lower == _CONTENT_TYPE:
            content_type = value.strip()
        elif lower == name:
            continue
        elif name in _RESERVED:
            faults.append((lower, "must not be sent: data is the body, and content-type tells its type"))
        else:
            named.add(name)
            try:
                members.append((name, _decoded(value)))
            except ValueError as error:
                faults.append((lower, str(error)))
    return content_type, members, named


def _decoded(value: str) -> str:
    """The value of a header without quotes and percent-encoding (3.1.3.2). Raises ValueError."""
    text = value.strip(" \t")
    if not text.isascii():
        raise ValueError("must be ASCII; other characters are percent-encoded as UTF-8")
    if quoted := _QUOTED.fullmatch(text):
        text = _ESCAPE.sub(r"\1", quoted.group(1))
    if "%" not in text:
        return text
    if _HALF_PERCENT.search(text):
        raise ValueError("has a % without two hexadecimal digits; a percent sign itself is %25")
    try:
        return unquote_to_bytes(text).decode()
    except UnicodeDecodeError:
        raise ValueError("is not UTF-8 once percent-decoded") from None


def _data(body: bytes, content_type: str | None, max_depth: int, faults: list[Fault]) -> dict[str, Any]:
    """The field of the event that holds the body."""
    if content_type and is_json(content_type):
        try:
            return {"data": read_json(body, max_bytes=len(body), max_depth=max_depth)}
        except Invalid as error:
            faults += [(f"body {where}".rstrip(), detail) for where, detail in error.errors] or [
                ("body", error.message)
            ]
            return {}
    if content_type and _TEXT_TYPE.match(content_type) and _charset(content_type) == "utf-8":
        try:
            text = body.decode()
        except UnicodeDecodeError:
            text = "\0"
        if "\0" not in text:
            return {"data": text}
    return {"data_base64": body}


def _charset(content_type: str) -> str:
    """The charset parameter in lower case; UTF-8 where there is none."""
    found = _CHARSET.search(content_type)
    return found.group(1).lower() if found else "utf-8"


def to_binary(event: Event) -> tuple[dict[str, str], bytes]:
    """The event as (headers, body) in binary mode. Raises Invalid when its data do not fit their type."""
    attributes = to_json(event)
    content_type = attributes.pop("datacontenttype", None)
    for name in ("data", "data_base64"):
        attributes.pop(name, None)
    headers = {_PREFIX + name: _encoded(value) for name, value in attributes.items() if value is not None}
    body = _body(event, content_type)
    if content_type or (body and event.data_base64 is None):
        headers[_CONTENT_TYPE] = content_type or "application/json"
    return headers, body


def _encoded(value: str | int) -> str:
    """A value as a header may carry it: text percent-encoded, a boolean as ``true`` or ``false``."""
    if isinstance(value, bool):
        return str(value).lower()
    return _TO_ENCODE.sub(lambda char: "".join(f"%{byte:02X}" for byte in char.group().encode()), str(value))


def _body(event: Event, content_type: str | None) -> bytes:
    if event.data_base64 is not None:
        return event.data_base64
    if event.data is None:
        return b""
    if is_json(content_type):
        return msgspec.json.encode(event.data)
    try:
        return str.encode(event.data, _charset(content_type or ""))
    except (TypeError, LookupError, UnicodeEncodeError) as error:
        raise Invalid(
            f"the data have no form as {content_type}: {error}", errors=[("/data", str(error))]
        ) from error
