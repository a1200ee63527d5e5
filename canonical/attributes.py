"""The context attributes of a CloudEvent: which names and values the specification allows.

Source: CloudEvents 1.0.2 core, "Naming Conventions", "Type System" and "Context Attributes"; URIs by
RFC 3986, times by RFC 3339, media types by RFC 2045. The extensions that ``Event`` names have the
types that it gives them; others are text, a boolean, or an integer of 32 bits.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any, Final

from canonical.errors import Invalid
from canonical.event import KNOWN

__all__ = [
    "REQUIRED",
    "Fault",
    "attribute_text",
    "is_json",
    "is_reference",
    "is_rfc3339",
    "not_valid",
    "read_attributes",
    "timestamp",
]

Fault = tuple[str, str]
"""Where (RFC 6901 pointer, or the name of a header), and what is wrong there."""

REQUIRED: Final = ("specversion", "id", "source", "type")

_NAME = re.compile(r"[a-z0-9]+")
_PLANES = range(0, 0x110000, 0x10000)
_NONCHARACTERS = "".join(f"{chr(plane + 0xFFFE)}{chr(plane + 0xFFFF)}" for plane in _PLANES)
_FORBIDDEN = re.compile(f"[\x00-\x1f\x7f-\x9f\ud800-\udfff\ufdd0-\ufdef{_NONCHARACTERS}]")
_INT32 = 2**31

_SCHEME = r"[A-Za-z][A-Za-z0-9+.\-]*:"
_NAME_CHARS = r"A-Za-z0-9\-._~!$&'()*+,;="
_PERCENT = "%[0-9A-Fa-f]{2}"
_AUTHORITY = (
    rf"(?:(?:[{_NAME_CHARS}:]|{_PERCENT})*@)?"
    rf"(?:\[[0-9A-Za-z:.\-_~!$&'()*+,;=]+\]|(?:[{_NAME_CHARS}]|{_PERCENT})*)(?::[0-9]*)?"
)
_PATH = rf"(?:[{_NAME_CHARS}:@/]|{_PERCENT})*"
_QUERY = rf"(?:[{_NAME_CHARS}:@/?]|{_PERCENT})*"
_REST = rf"(?://{_AUTHORITY}(?:/{_PATH})?|(?!//){_PATH})(?:\?{_QUERY})?(?:#{_QUERY})?"
_URI = re.compile(_SCHEME + _REST)
_URI_REFERENCE = re.compile(rf"(?:{_SCHEME}|(?![^/?#:]*:)){_REST}")

_TOKEN = r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"  # noqa: S105 -- an RFC 2045 token, not a secret
_PARAMETER = rf'[ \t]*;[ \t]*(?:{_TOKEN}=(?:{_TOKEN}|"(?:[^"\\]|\\.)*"))?'
_MEDIA_TYPE = re.compile(rf"{_TOKEN}/{_TOKEN}(?:{_PARAMETER})*[ \t]*")
_JSON_TYPE = re.compile(r"[^/;]+/(?:[^;]*\+)?json[ \t]*(?:;|$)", re.IGNORECASE)

_TIME = re.compile(
    r"\d{4}-\d\d-\d\d[Tt](?:[01]\d|2[0-3]):[0-5]\d:(?:[0-5]\d|60)(?:\.\d+)?(?:[Zz]|[+-](?:[01]\d|2[0-3]):[0-5]\d)",
    re.ASCII,
)
_FRACTION = re.compile(r"^\.\d+")
_CACHED = 200  # characters: what is longer is checked anew, so that the caches stay small


def is_json(media_type: str | None) -> bool:
    """Whether data of that type are JSON: ``*/json``, ``*/*+json``, or no type (JSON format, 3.1.1)."""
    return media_type is None or _JSON_TYPE.match(media_type) is not None


def is_rfc3339(text: str) -> bool:
    """Whether the text is a time in the form of RFC 3339; its date may still be none."""
    return _TIME.fullmatch(text) is not None


def timestamp(value: object) -> datetime:
    """The moment of an RFC 3339 text, in UTC, to the microsecond. Raises ValueError.

    A leap second is the first moment of the minute after it.
    """
    if not isinstance(value, str) or not _TIME.fullmatch(value):
        raise ValueError(f"must be a time as of RFC 3339, like 2026-03-31T10:00:00Z, not {_shown(value)}")
    leap = value[17:19] == "60"
    text = (f"{value[:17]}59{_FRACTION.sub('', value[19:])}" if leap else value).upper()
    try:
        moment = datetime.fromisoformat(text)
        if moment.tzinfo is not UTC:
            moment = moment.astimezone(UTC)
        return moment + timedelta(seconds=1) if leap else moment
    except (ValueError, OverflowError) as error:
        raise ValueError(f"{_shown(value)} is no time: {error}") from None


def attribute_text(value: object) -> str:
    """Text that is not empty and of allowed characters. Raises ValueError."""
    if not isinstance(value, str):
        raise ValueError(f"must be text, not {_shown(value)}")
    if not value:
        raise ValueError("must not be empty")
    return _characters(value)


def _characters(value: str) -> str:
    """Text without control characters, noncharacters and halves of surrogate pairs. Raises ValueError."""
    found = None if value.isprintable() else _FORBIDDEN.search(value)
    if found:
        raise ValueError(f"has the character U+{ord(found.group()):04X}, which no attribute may have")
    return value


def _version(value: object) -> str:
    if value != "1.0":
        raise ValueError(f'must be "1.0", not {_shown(value)}')
    return "1.0"


def _matching(pattern: re.Pattern[str], wanted: str) -> Callable[[object], str]:
    """A check of texts that come again and again, such as a source: what passed is remembered."""

    @lru_cache(maxsize=1024)
    def matches(text: str) -> bool:
        return pattern.fullmatch(_characters(text)) is not None

    def check(value: object) -> str:
        text = (
            attribute_text(value)
            if not isinstance(value, str) or not value or len(value) > _CACHED
            else value
        )
        if not (matches(text) if len(text) <= _CACHED else pattern.fullmatch(text)):
            raise ValueError(f"must be {wanted}, not {_shown(value)}")
        return text

    return check


def _extension(value: object) -> str | int | bool:
    """A value of an extension that nobody has defined here. Raises ValueError."""
    match value:
        case str():
            return _characters(value)
        case bool():
            return value
        case int() if -_INT32 <= value < _INT32:
            return value
        case int():
            raise ValueError(f"{_shown(value)} is no integer of 32 bits")
        case _:
            raise ValueError(f"must be text, a boolean or an integer, not {_shown(value)}")


_REFERENCE = _matching(_URI_REFERENCE, "a URI reference (RFC 3986)")


def is_reference(text: str) -> bool:
    """Whether the text may be the source of an event."""
    try:
        _REFERENCE(text)
    except ValueError:
        return False
    return True


_CHECKS: Final[dict[str, Callable[[object], Any]]] = dict.fromkeys(
    KNOWN - {"data", "data_base64"}, attribute_text
) | {
    "specversion": _version,
    "source": _REFERENCE,
    "dataref": _REFERENCE,
    "dataschema": _matching(_URI, "an absolute URI (RFC 3986)"),
    "datacontenttype": _matching(_MEDIA_TYPE, "a media type (RFC 2046), like application/json"),
    "time": timestamp,
    "recordedtime": timestamp,
    "expirytime": timestamp,
}


def read_attributes(
    members: Iterable[tuple[str, Any]], faults: list[Fault], place: Callable[[str], str]
) -> dict[str, Any]:
    """The fields of an ``Event`` that the attributes give; what is wrong goes to ``faults``.

    A null counts as absent. ``place`` tells where a name stands, for the faults.
    """
    fields: dict[str, Any] = {}
    extensions: dict[str, Any] = {}
    for name, value in members:
        if value is None:
            continue
        check = _CHECKS.get(name)
        try:
            if check is not None:
                fields[name] = check(value)
            elif _NAME.fullmatch(name):
                extensions[name] = _extension(value)
            else:
                raise ValueError("is no name of an attribute: only a-z and 0-9 are allowed")
        except ValueError as error:
            faults.append((place(name), str(error)))
    if extensions:
        fields["extensions"] = extensions
    return fields


def not_valid(faults: Sequence[Fault]) -> Invalid:
    """The error that carries all faults of an event; its text tells the first."""
    (where, detail), more = faults[0], len(faults) - 1
    rest = f", and {more} more" if more else ""
    return Invalid(
        f"no valid CloudEvent: {where or 'it'} {detail}{rest}", code="not_a_cloudevent", errors=faults
    )


def _shown(value: object) -> str:
    """A value, shortened, for people."""
    match value:
        case dict():
            return "an object"
        case list():
            return "an array"
        case None:
            return "null"
        case bool():
            return str(value).lower()
        case _:
            text = repr(value)
            return text if len(text) <= 60 else f"{text[:60]}…"
