"""Plain scalars as devices write them: numbers, texts, booleans."""

from __future__ import annotations

import math
import re
from decimal import Decimal

from adapters.json.config import ValueOptions
from canonical.errors import Invalid
from canonical.jsontext import NUL

__all__ = ["read_scalar", "write_scalar"]

Scalar = str | int | float | bool

_NUMBER = re.compile(r"[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?")
_JSON_NUMBER = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?")
_FRACTION = re.compile(r"[.eE]")
_AROUND = " \t\r\n"
_LONGEST_NUMBER = 64
_INT64 = 2**63


def read_scalar(body: bytes, options: ValueOptions) -> Scalar:
    """The value of a body. Raises Invalid; text keeps its white space, all else is read without it.

    Zero bytes at the end, where a C string has them, are not part of it.
    """
    if len(body) > options.max_size:
        raise Invalid(
            f"the body has {len(body):,} bytes, at most {options.max_size:,} are allowed", code="too_large"
        )
    text = _decoded(body.rstrip(b"\0"), options.charset)
    if "\0" in text:
        raise Invalid(f"the text {NUL}", code="nul", errors=[("", f"the text {NUL}")])
    bare = text.strip(_AROUND)
    match options.type:
        case "text":
            return text
        case "number":
            return _number(bare, options, _NUMBER)
        case "boolean":
            return _boolean(bare, options)
        case "auto":
            return _guessed(text, bare, options)


def _decoded(body: bytes, charset: str) -> str:
    try:
        return body.decode(charset)
    except UnicodeDecodeError as error:
        detail = f"byte 0x{body[error.start]:02x} is not UTF-8; is it another charset, or not text at all?"
        where = f"byte {error.start}"
        raise Invalid(f"{where}: {detail}", code="not_utf8", errors=[(where, detail)]) from error


def _number(bare: str, options: ValueOptions, pattern: re.Pattern[str]) -> int | float | str:
    """A whole number of 64 bits or a double; the number's text where neither can hold it."""
    comma = options.decimal == "comma"
    text = bare.replace(",", ".", 1) if comma else bare
    if len(text) > _LONGEST_NUMBER or (comma and "." in bare) or not pattern.fullmatch(text):
        raise _refused(f"{bare!r:.60} is no number with a decimal {options.decimal}")
    if _FRACTION.search(text):
        value = float(text)
        return value if math.isfinite(value) and Decimal(repr(value)) == Decimal(text) else text
    whole = int(text)
    return whole if -_INT64 <= whole < _INT64 else str(whole)


def _boolean(bare: str, options: ValueOptions) -> bool:
    word = bare.lower()
    if word in {known.lower() for known in options.true}:
        return True
    if word in {known.lower() for known in options.false}:
        return False
    raise _refused(f"{bare!r:.60} is neither {' or '.join(options.true)} nor {' or '.join(options.false)}")


def _guessed(text: str, bare: str, options: ValueOptions) -> Scalar:
    """A number or a boolean where JSON reads one: neither a serial number 007 nor ON is."""
    if not bare:
        raise _refused("the body is empty")
    if bare in ("true", "false"):
        return bare == "true"
    try:
        return _number(bare, options, _JSON_NUMBER)
    except Invalid:
        return text


def _refused(detail: str) -> Invalid:
    return Invalid(detail, code="not_a_value", errors=[("", detail)])


def write_scalar(value: object, options: ValueOptions) -> str:
    """The value as text. Raises Invalid for what is no scalar, and for numbers that are none."""
    match value:
        case bool():
            return options.true[0] if value else options.false[0]
        case str():
            return value
        case int():
            return str(value)
        case float() if math.isfinite(value):
            text = repr(value)
            return text.replace(".", ",") if options.decimal == "comma" else text
        case _:
            kind = {dict: "an object", list: "a list", type(None): "null"}.get(type(value), repr(value))
            raise Invalid(
                f"one number, text or boolean is needed, not {kind:.60}: name it in the route's `map`",
                code="not_a_value",
                errors=[("", f"must be a number, text or boolean, not {kind:.60}")],
            )
