"""Where in a file each character of a YAML scalar's value stands, whatever its style.

Folding, escapes and indentation change white space and quotes only, so the value's other characters
stand in the source in the same order: the two are walked side by side.
"""

from __future__ import annotations

__all__ = ["offsets"]

_BLANK = " \t\r\n\x85\u2028\u2029"
_ESCAPED_DIGITS = {"x": 2, "u": 4, "U": 8}
_ESCAPED_BLANKS = "tnr NLP\t"


def offsets(text: str, start: int, end: int, value: str, style: str | None) -> list[int]:
    """One index into ``text`` per character of ``value``, and one more for its end.

    ``text[start:end]`` is the scalar as written, with its quotes or block header; ``style`` is
    PyYAML's: None or "" plain, ``'``, ``"``, ``|``, ``>``.
    """
    at = _content(text, start, style)
    found = []
    for char in value:
        at = _skip(text, at, end, char, style)
        found.append(min(at, end))
        at += _width(text, at, char, style)
    found.append(min(at, end))
    return found


def _content(text: str, start: int, style: str | None) -> int:
    """Where the value begins: behind the quote, or on the line after a block's header."""
    if style in ("'", '"'):
        return start + 1
    if style in ("|", ">"):
        return text.find("\n", start) + 1
    return start


def _skip(text: str, at: int, end: int, char: str, style: str | None) -> int:
    """The index of ``char``: what folding or indentation put before it is passed over."""
    blank = char in _BLANK
    while at < end:
        if style == '"' and text[at] == "\\" and _vanishes(text[at + 1 : at + 2], blank):
            at += 2
        elif text[at] in _BLANK and not blank:
            at += 1
        else:
            break
    return at


def _vanishes(escaped: str, blank: bool) -> bool:
    """Whether a backslash with this after it leaves nothing, or only white space when that is passed over."""
    return escaped in ("\n", "\r") or (not blank and escaped in _ESCAPED_BLANKS)


def _width(text: str, at: int, char: str, style: str | None) -> int:
    """How many characters of the source ``char`` takes; white space that folding changed takes none."""
    here = text[at : at + 1]
    if style == '"' and here == "\\":
        return 2 + _ESCAPED_DIGITS.get(text[at + 1 : at + 2], 0)
    if style == "'" and here == "'":
        return 2
    return 1 if here == char else 0
