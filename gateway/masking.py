"""Takes secrets and people out of a message before it is kept as a case. Pure.

What is masked keeps its length and its kind: letters become X, digits 0, so that the message is read as
before. No program knows every name: who keeps a case looks at it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, Final

__all__ = ["masked_attributes", "masked_body"]

_SECRET: Final = re.compile(
    r"pass(word|wd|phrase)?$|secret|token|credential|authori[sz]ation|cookie|api[-_.]?key|signature|private",
    re.IGNORECASE,
)
_PERSON: Final = re.compile(
    r"(first|last|given|family|user|contact|operator|person|employee|worker|driver|buyer|planner)_?-?name$"
    r"|^(name|surname|operator|employee|worker|driver|contact|user|signed_by|inspector)$"
    r"|e-?mail|phone|telephone|mobile|^fax$|^tel$|iban|birth|street|address$",
    re.IGNORECASE,
)
_EMAIL: Final = re.compile(r"[A-Za-z0-9._%+-]+@[A-Za-z0-9.-]+\.[A-Za-z]{2,}")
_BEARER: Final = re.compile(r"(?i)(?<=bearer )[A-Za-z0-9._~+/=-]{8,}")
_USERINFO: Final = re.compile(r"(?<=://)[^/\s:@]+:[^/\s@]+(?=@)")
_ELEMENT: Final = re.compile(
    r"<(?:[\w.-]+:)?(?P<tag>[\w.-]+)(?:\s[^<>]*)?>(?P<text>[^<>]+)</(?:[\w.-]+:)?(?P=tag)>"
)
_EDIFACT: Final = re.compile(r"(?:(?<=')|(?<=\n))\s*(CTA|COM)\+[^']*")
_X12: Final = re.compile(r"(?:(?<=~)|(?<=\n))\s*PER\*[^~\n]*")
_LETTER: Final = re.compile(r"[^\W\d_]")
_DIGIT: Final = re.compile(r"\d")


def masked_attributes(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """What the transport knew, without headers that prove who sent it."""
    return {
        name: _text(value) if isinstance(value, str) else value
        for name, value in attributes.items()
        if not _SECRET.search(name) and name not in {"key", "by"}
    }


def masked_body(body: str) -> str:
    """The body without secrets and names: of JSON and XML by the names of fields, of EDI the contacts, and of
    everything e-mail addresses, bearer tokens, and passwords in addresses."""
    try:
        value = json.loads(body)
    except ValueError:
        return _text(_written(body))
    masked = _value(value)
    return body if masked == value else json.dumps(masked, ensure_ascii=False)


def _value(value: Any, name: str = "") -> Any:
    """JSON; what a secret or personal field holds is masked, whatever its depth."""
    match value:
        case dict():
            return {key: _value(inner, key if not _sensitive(name) else name) for key, inner in value.items()}
        case list():
            return [_value(inner, name) for inner in value]
        case str():
            return _blank(value) if _sensitive(name) else _text(value)
        case int() | float() if _sensitive(name) and not isinstance(value, bool):
            return 0
        case _:
            return value


def _sensitive(name: str) -> bool:
    return bool(_SECRET.search(name) or _PERSON.search(name))


def _written(text: str) -> str:
    """XML elements, and segments of EDI that name people."""

    def element(found: re.Match[str]) -> str:
        whole, inner = found[0], found["text"]
        return whole.replace(f">{inner}<", f">{_blank(inner)}<") if _sensitive(found["tag"]) else whole

    def segment(found: re.Match[str]) -> str:
        tag, mark, rest = found[0].partition("+" if "+" in found[0][:8] else "*")
        return tag + mark + _qualified(rest, mark)

    text = _ELEMENT.sub(element, text)
    if text.lstrip("\ufeff \r\n").startswith(("UNA", "UNB")):
        return _EDIFACT.sub(segment, text)
    return _X12.sub(segment, text) if text.lstrip("\ufeff \r\n").startswith("ISA") else text


def _qualified(rest: str, mark: str) -> str:
    """Masks what is longer than a qualifier."""
    parts = re.split(rf"([{re.escape(mark)}:])", rest)
    return "".join(_blank(part) if len(part) > 3 else part for part in parts)


def _text(text: str) -> str:
    for pattern in (_USERINFO, _BEARER):
        text = pattern.sub(lambda found: _blank(found[0]), text)
    return _EMAIL.sub(lambda found: _blank(found[0]), text)


def _blank(text: str) -> str:
    return _DIGIT.sub("0", _LETTER.sub("X", text))
