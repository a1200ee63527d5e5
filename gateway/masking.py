"""Takes secrets and people out of a message before it is kept as a case. Pure.

What is masked keeps its length and its kind: letters become X, digits 0, so that the message is read as
before. No program knows every name: who keeps a case looks at it.
"""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Mapping
from typing import Any, Final

from gateway.masking_edi import masked_edi

__all__ = ["masked_attributes", "masked_body"]

_SECRET: Final = re.compile(
    r"pass(word|wd|phrase)?$|secret|token|credential|authori[sz]ation|cookie|api[-_.]?key|signature|private"
    r"|passwort|kennwort|heslo|^pin$",
    re.IGNORECASE,
)
_PERSON: Final = re.compile(
    r"(first|last|given|family|full|user|contact|operator|person|employee|worker|driver|buyer|planner)_?-?name$"
    r"|^(name|surname|operator|employee|worker|driver|contact|user|signed|inspector|planner|buyer)s?$|_by$"
    r"|[a-z]By$"
    r"|(vor|nach|benutzer)name$|^(bediener|mitarbeiter|pruefer|prüfer|fahrer|ansprechpartner|werker)(in)?$"
    r"|^(jmeno|jméno|prijmeni|příjmení|obsluha|pracovnik|pracovník|ridic|řidič)$"
    r"|e-?mail|phone|telefon|telephone|mobile|^handy$|^fax$|^tel$|iban|birth|street|strasse|straße|address$"
    r"|anschrift|adresse$",
    re.IGNORECASE,
)
_PATTERNS: Final = (
    re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?-----END [A-Z ]*PRIVATE KEY-----", re.DOTALL),
    re.compile(r"(?<=://)[^/\s:@]+:[^/\s@]+(?=@)"),
    re.compile(r"(?i)(?<=bearer )[A-Za-z0-9._~+/=-]{8,}"),
    re.compile(r"(?i)(?<=basic )[A-Za-z0-9+/=]{8,}"),
    re.compile(r"\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*"),
    re.compile(
        r"(?i)(?<=[?&;\s])(?:\w*(?:password|passwd|secret|token|api_?key|signature))=(?P<v>[^&;\s\"'<>]+)"
    ),
    re.compile(r"[A-Za-z0-9._%+-]+@[A-Za-z0-9.-]+\.[A-Za-z]{2,}"),
)
"""Keys, passwords in addresses, proofs, web tokens, ``password=…``, e-mail addresses: wherever they stand."""
_ELEMENT: Final = re.compile(
    r"<(?P<tag>(?:[\w.-]+:)?[\w.-]+)(?:\s[^<>]*)?>(?P<text>(?:(?!</?(?P=tag)[\s>]).)*)</(?P=tag)\s*>",
    re.DOTALL,
)
_ATTRIBUTE: Final = re.compile(r"(?P<name>[\w.:-]+)\s*=\s*(?P<quote>[\"'])(?P<text>[^\"'<>]*)(?P=quote)")
_BETWEEN_TAGS: Final = re.compile(r"(?<=>)[^<>]+|^[^<>]+")
_LETTER: Final = re.compile(r"[^\W\d_]")
_DIGIT: Final = re.compile(r"\d")
_DELIMITERS: Final = (";", ",", "\t", "|")


def masked_attributes(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """What the transport knew, without headers that prove who sent it."""
    return {
        name: _value(value, name)
        for name, value in attributes.items()
        if not _SECRET.search(name) and name not in {"key", "by"}
    }


def masked_body(body: str) -> str:
    """The body without secrets and names: of JSON, XML and tables by the names of fields, of EDI contacts,
    parties and passwords, and of everything e-mail addresses, proofs, and passwords in addresses."""
    masked = _json(body)
    if masked is None:
        masked = masked_edi(body, _blank)
    if masked is None and body.lstrip("\ufeff \r\n").startswith("<"):
        masked = _xml(body)
    return _text(_table(body) if masked is None else masked)


# ── JSON, and JSON a line ───────────────────────────────────────────────────────────────────────


def _json(body: str) -> str | None:
    """None for what is none."""
    try:
        return _dumped(json.loads(body), body)
    except ValueError:
        lines = body.splitlines(keepends=True)
    if not body.lstrip().startswith(("{", "[")) or len(lines) < 2:
        return None
    try:
        return "".join(_line(line) for line in lines)
    except ValueError:
        return None


def _line(line: str) -> str:
    text = line.rstrip("\r\n")
    return _dumped(json.loads(text), text) + line[len(text) :] if text.strip() else line


def _dumped(value: Any, text: str) -> str:
    masked = _value(value)
    return text if masked == value else json.dumps(masked, ensure_ascii=False)


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


# ── XML and tables ──────────────────────────────────────────────────────────────────────────────


def _xml(text: str) -> str:
    """What sensitive elements hold, elements within them included, and sensitive attributes."""

    def element(found: re.Match[str]) -> str:
        whole, inner = found[0], found["text"]
        start = found.start("text") - found.start()
        if _sensitive(found["tag"].rpartition(":")[2]):
            kept = _BETWEEN_TAGS.sub(lambda part: _blank(part[0]), inner)
        else:
            kept = _ELEMENT.sub(element, inner)
        return whole[:start] + kept + whole[start + len(inner) :]

    def attribute(found: re.Match[str]) -> str:
        if not _sensitive(found["name"].rpartition(":")[2]):
            return found[0]
        start = found.start("text") - found.start()
        return found[0][:start] + _blank(found["text"]) + found["quote"]

    return _ATTRIBUTE.sub(attribute, _ELEMENT.sub(element, text))


def _table(text: str) -> str:
    """Columns whose heading is sensitive; anything else as it is."""
    lines = text.splitlines(keepends=True)
    if len(lines) < 2:
        return text
    delimiter = max(_DELIMITERS, key=lines[0].count)
    headings = next(csv.reader([lines[0].lstrip("\ufeff")], delimiter=delimiter), [])
    columns = {at for at, heading in enumerate(headings) if _sensitive(heading.strip())}
    if not columns or lines[0].count(delimiter) == 0:
        return text
    cell = re.compile(rf'(?:"(?:[^"]|"")*"|[^"{re.escape(delimiter)}\r\n])*')
    return lines[0] + "".join(_row(line, cell, delimiter, columns) for line in lines[1:])


def _row(line: str, cell: re.Pattern[str], delimiter: str, columns: set[int]) -> str:
    kept, at, column = "", 0, 0
    while at < len(line):
        found = cell.match(line, at)
        text = found[0] if found else ""
        kept += _blank(text) if column in columns else text
        at += len(text)
        if at < len(line):
            column += line[at] == delimiter
            kept += line[at]
            at += 1
    return kept


# ── everything ──────────────────────────────────────────────────────────────────────────────────


def _text(text: str) -> str:
    for pattern in _PATTERNS:
        text = pattern.sub(_matched, text)
    return text


def _matched(found: re.Match[str]) -> str:
    whole, value = found[0], found.groupdict().get("v")
    return _blank(whole) if value is None else whole[: len(whole) - len(value)] + _blank(value)


def _blank(text: str) -> str:
    return _DIGIT.sub("0", _LETTER.sub("X", text))
