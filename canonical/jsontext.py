"""JSON as strangers send it (RFC 8259): bounded before it costs anything, and every fault with its place.

Refused are NaN and infinity, unpaired surrogates, control characters in text, trailing characters,
numbers beyond a double, U+0000, and what is larger or nested deeper than allowed. A byte order mark is
skipped. Where an object names a member twice the last one counts, which the RFC leaves open.
"""

from __future__ import annotations

import math
import re
from decimal import Decimal
from typing import Any

import msgspec

from canonical.errors import Invalid

__all__ = ["MAX_BYTES", "MAX_DEPTH", "NUL", "exact_float", "has_nul", "read_json"]

MAX_BYTES = 32_000_000
MAX_DEPTH = 64
"""Levels of arrays and objects. Deeper JSON is an attack rather than a message."""

NUL = "has the character U+0000, which expressions and databases cannot keep"

_BOM = b"\xef\xbb\xbf"
_BYTE = re.compile(r" \(byte (\d+)\)")
_LONG_INTEGER = re.compile(rb"[0-9]{19}")
_HIGH, _LOW = rb"\\u[dD][89abAB][0-9a-fA-F]{2}", rb"\\u[dD][c-fC-F][0-9a-fA-F]{2}"
_HALF_PAIR = re.compile(rb"%b(?!%b)|(?<!%b)%b" % (_HIGH, _LOW, _HIGH, _LOW))
_ALWAYS_EXACT = 15  # a double keeps any decimal number of 15 significant digits
_INT64 = 2**63


def exact_float(text: str) -> float | str:
    """The number as a double, or its text where a double would be another number."""
    value = float(text)
    if len(text) <= _ALWAYS_EXACT and "e" not in text and "E" not in text:
        return value
    return value if math.isfinite(value) and Decimal(repr(value)) == Decimal(text) else text


_encoder = msgspec.json.Encoder()
_plain = msgspec.json.Decoder()
_exactly = msgspec.json.Decoder(float_hook=exact_float)


def read_json(
    body: bytes,
    *,
    max_bytes: int = MAX_BYTES,
    max_depth: int = MAX_DEPTH,
    exact: bool = False,
    first_line: int = 1,
    nul: bool = False,
) -> Any:
    """The value that ``body`` holds. Raises Invalid that says where in the text it is wrong.

    ``exact``: a number that neither a double nor 64 bits can hold is kept as the text of its digits,
    so that no digit is lost. ``first_line`` is what to count lines from. ``nul``: text
    with U+0000 is let through, since the caller looks for it.
    """
    if len(body) > max_bytes:
        raise Invalid(
            f"the body has {len(body):,} bytes, at most {max_bytes:,} are allowed", code="too_large"
        )
    text = body.removeprefix(_BOM)
    try:
        value = (_exactly if exact else _plain).decode(text)
    except RecursionError:
        raise _too_deep(max_depth) from None
    except (msgspec.DecodeError, UnicodeDecodeError, ValueError) as error:
        raise _fault(text, error, first_line) from error
    if text.count(b"[") + text.count(b"{") > max_depth and _deeper(value, max_depth):
        raise _too_deep(max_depth)
    if not nul and rb"\u0000" in text and _finds_nul(value):
        detail = f"a text {NUL}"
        raise Invalid(f"not usable: {detail}", code="nul", errors=[("", detail)])
    return _with_long_integers(value) if exact and _LONG_INTEGER.search(text) else value


def _deeper(value: Any, limit: int) -> bool:
    """Whether arrays and objects nest more than ``limit`` levels."""
    level = [value] if isinstance(value, dict | list) else []
    for _ in range(limit):
        level = [
            inner
            for outer in level
            for inner in (outer.values() if isinstance(outer, dict) else outer)
            if isinstance(inner, dict | list)
        ]
    return bool(level)


def has_nul(value: Any) -> bool:
    """Whether a text or name in a JSON value has the character U+0000, which many systems cut texts at.

    Raises TypeError, ValueError or RecursionError for what is no JSON value.
    """
    return rb"\u0000" in _encoder.encode(value) and _finds_nul(value)


def _finds_nul(value: Any) -> bool:
    match value:
        case str():
            return "\0" in value
        case dict():
            return any("\0" in str(name) or _finds_nul(entry) for name, entry in value.items())
        case list():
            return any(_finds_nul(entry) for entry in value)
        case _:
            return False


def _with_long_integers(value: Any) -> Any:
    """The value with integers beyond 64 bits as text; the depth is bounded already."""
    match value:
        case dict():
            return {name: _with_long_integers(entry) for name, entry in value.items()}
        case list():
            return [_with_long_integers(entry) for entry in value]
        case int() if not -_INT64 <= value < _INT64:
            return str(value)
        case _:
            return value


def _too_deep(max_depth: int) -> Invalid:
    return Invalid(f"the JSON nests deeper than {max_depth} levels", code="too_deep")


def _fault(text: bytes, error: Exception, first_line: int) -> Invalid:
    """What is wrong with the text, told for people: line and column where they are known."""
    try:
        text.decode()
    except UnicodeDecodeError as bad:
        where = _place(text, bad.start, first_line)
        detail = f"byte 0x{text[bad.start]:02x} is not UTF-8 ({bad.reason})"
        return Invalid(f"not UTF-8: {where}: {detail}", code="not_utf8", errors=[(where, detail)])
    detail = str(error).removeprefix("JSON is malformed: ")
    surrogate = _HALF_PAIR.search(text)
    if surrogate and ("truncated" in detail or "surrogate" in detail):
        detail, at = "half of a surrogate pair is no character", surrogate.start()
    elif found := _BYTE.search(detail):
        detail, at = _BYTE.sub("", detail), int(found.group(1))
        at -= detail.startswith("trailing")  # msgspec tells the place after the first of them
    elif "truncated" in detail:
        detail, at = "it ends too early" if text.strip() else "nothing is there", len(text)
    else:  # a number out of range: where it stands is not told
        return Invalid(f"not JSON: {detail}", code="not_json", errors=[("", detail)])
    where = _place(text, at, first_line)
    return Invalid(f"not JSON: {where}: {detail}", code="not_json", errors=[(where, detail)])


def _place(text: bytes, at: int, first_line: int) -> str:
    """Line and column, from 1, of a byte; columns count characters."""
    start = text.rfind(b"\n", 0, at) + 1
    column = len(text[start:at].decode(errors="replace")) + 1
    line = text.count(b"\n", 0, at) + first_line
    return f"line {line} column {column}"
