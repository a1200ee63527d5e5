"""Bytes to text, line by line, in little memory. What is no text is marked, so that only its row is lost."""

from __future__ import annotations

import codecs
import re
from collections import deque
from io import BytesIO, TextIOWrapper
from typing import Final, NamedTuple

from canonical.errors import Invalid
from canonical.jsontext import NUL

__all__ = ["Line", "Lines", "bad_text", "check_encoding"]

_FAMILIES: Final = re.compile(
    r"ascii|utf-(8|8-sig|16|16-le|16-be|32|32-le|32-be)|iso8859-\d+|koi8-[ru]|mac-[a-z0-9]+"
    r"|cp(437|7\d\d|8[56]\d|874|9\d\d|125\d)|gb(2312|k|18030)|big5(hkscs)?|shift_jis|euc_(jp|kr)"
)
"""Charsets without a state, in which a line break is one."""
_MARKS: Final = (
    (b"\xef\xbb\xbf", ("utf-8", "utf-8-sig"), "utf-8"),
    (b"\xff\xfe", ("utf-16", "utf-16-le", "utf-32", "utf-32-le"), "utf-16"),
    (b"\xfe\xff", ("utf-16", "utf-16-be"), "utf-16"),
)
_MARKED_ONLY: Final = {
    "utf-16": (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE),
    "utf-32": (codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE),
}
_ERRORS: Final = "crossplant.marked"
_MARKED: Final = re.compile("[\0\udc00-\udcff]")
_FIRST_MARK: Final = 0xDC00


def check_encoding(name: str) -> str:
    """The encoding's name as Python writes it. Raises ValueError for what is none, or not for files."""
    try:
        known = codecs.lookup(name).name
    except (LookupError, ValueError):
        known = ""
    if not _FAMILIES.fullmatch(known):
        raise ValueError(f"{name!r} is no encoding of text files, as are utf-8, cp1250, cp1252 or iso-8859-2")
    return known


def _mark(error: UnicodeError) -> tuple[str, int]:
    """Each undecodable byte as half a surrogate pair, which no text has."""
    if not isinstance(error, UnicodeDecodeError):
        raise error
    return "".join(chr(_FIRST_MARK + byte) for byte in error.object[error.start : error.end]), error.end


codecs.register_error(_ERRORS, _mark)


def bad_text(text: str, encoding: str) -> str | None:
    """What makes a text unusable: bytes that are none of its encoding, or U+0000."""
    found = _MARKED.search(text)
    if found is None:
        return None
    if found[0] == "\0":
        hint = "" if encoding.startswith("utf-16") else "; is it UTF-16?"
        return f"it {NUL}{hint}"
    byte = ord(found[0]) - _FIRST_MARK
    return f"byte 0x{byte:02x} is not {encoding}; is it another encoding?"


class Line(NamedTuple):
    """A line with what ends it. ``cut``: it is longer than allowed, and this is its beginning."""

    number: int
    text: str
    cut: bool


class Lines:
    """The lines of a body, from 1. A line ends with CR LF, LF, or CR."""

    def __init__(self, body: bytes, encoding: str, max_row: int) -> None:
        """Raises Invalid when the byte order mark is of another encoding, or missing where one must be."""
        for mark, allowed, told in _MARKS:
            if body.startswith(mark) and encoding not in allowed:
                detail = f"it begins with the byte order mark of {told}, but `encoding` is {encoding}"
                raise Invalid(f"not read: {detail}", code="encoding", errors=[("", detail)])
        if encoding in _MARKED_ONLY and body and not body.startswith(_MARKED_ONLY[encoding]):
            detail = f"it has no byte order mark: `encoding` must be {encoding}-le or {encoding}-be"
            raise Invalid(f"not read: {detail}", code="encoding", errors=[("", detail)])
        # newline="" neither translates line ends nor splits at anything else, as str.splitlines would.
        self._file = TextIOWrapper(BytesIO(body), encoding=encoding, errors=_ERRORS, newline="")
        self._limit = max_row + len("\r\n")
        self._number = 0
        self._again: deque[Line] = deque()
        self._rest = ""

    def next(self) -> Line | None:
        """The next line, or None at the end."""
        if self._again:
            return self._again.popleft()
        text = self._read()
        if not text:
            return None
        self._number += 1
        if self._number == 1:
            text = text.removeprefix("\ufeff")
        cut = len(text) >= self._limit and not text.endswith("\n")
        if cut:
            self._drop(text)
        return Line(self._number, text, cut)

    def unread(self, lines: list[Line]) -> None:
        """Gives lines back, to come again in their order."""
        self._again.extendleft(reversed(lines))

    def _read(self) -> str:
        text, self._rest = self._rest or self._file.readline(self._limit), ""
        return text

    def _drop(self, text: str) -> None:
        """Reads on to the end of a line of which ``text`` is the beginning."""
        while text and not text.endswith(("\n", "\r")):
            text = self._read()
        if text.endswith("\r"):  # its line feed may be behind the limit
            after = self._read()
            self._rest = "" if after == "\n" else after
