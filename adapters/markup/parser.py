"""Expat, without what makes XML dangerous: no DTD, no entities but the five, bounded size and depth.

Nothing is ever fetched. Expat before 2.6 reads a long token anew with every piece that it is given
(CVE-2023-52425), so pieces are large and few.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final, NoReturn
from xml.parsers import expat  # nosec B406

from adapters.markup.config import XmlOptions
from adapters.markup.names import BETWEEN, is_encoding
from canonical.errors import Invalid

__all__ = ["Parser", "check_document"]

_PIECE_BYTES: Final = 1_000_000
_LONGEST_ATTRIBUTES: Final = 1_000_000


class Parser:
    """One document on its way. Handlers are set on ``handlers``; they may raise Invalid."""

    def __init__(self, body: bytes, options: XmlOptions) -> None:
        self._body, self._options = body, options
        parser = self.handlers = expat.ParserCreate(options.encoding, BETWEEN)
        parser.buffer_text = True
        parser.XmlDeclHandler = self._declaration
        parser.StartDoctypeDeclHandler = self._doctype
        parser.EntityDeclHandler = self._entity
        parser.SkippedEntityHandler = self._unknown_entity
        parser.ExternalEntityRefHandler = self._external

    def pieces(self) -> Iterator[None]:
        """Reads on, piece by piece. Raises Invalid with line and column."""
        size, most = len(self._body), self._options.max_size
        if size > most:
            raise Invalid(f"the body has {size:,} bytes, at most {most:,} are allowed", code="too_large")
        whole = memoryview(self._body)
        for start in range(0, max(size, 1), _PIECE_BYTES):
            try:
                self.handlers.Parse(whole[start : start + _PIECE_BYTES], start + _PIECE_BYTES >= size)
            except expat.ExpatError as error:
                where = _place(error.lineno, error.offset)
                detail = expat.ErrorString(error.code)
                raise Invalid(
                    f"not XML: {where}: {detail}", code="not_xml", errors=[(where, detail)]
                ) from error
            except (ValueError, LookupError, UnicodeError) as error:  # Python has no such encoding
                detail = f"its encoding cannot be read: {error}"
                raise Invalid(
                    f"not XML: {detail:.300}", code="encoding", errors=[("", detail[:300])]
                ) from error
            yield

    @property
    def line(self) -> int:
        """The line, from 1, of what is handled."""
        return self.handlers.CurrentLineNumber

    def refuse(self, detail: str, code: str) -> NoReturn:
        """Raises Invalid with the place of what is handled."""
        where = _place(self.handlers.CurrentLineNumber, self.handlers.CurrentColumnNumber)
        raise Invalid(f"not read: {where}: {detail}", code=code, errors=[(where, detail)])

    def _declaration(self, version: str, encoding: str | None, standalone: int) -> None:
        if encoding and not self._options.encoding and not is_encoding(encoding):
            self.refuse(f"the encoding {encoding!r:.60} is not read; have it sent as UTF-8", "encoding")

    def _doctype(self, name: str, system: str | None, public: str | None, inside: int) -> None:
        if inside:
            self.refuse("a DTD with declarations of its own is not accepted", "doctype")
        if self._options.doctype == "refuse":
            self.refuse("a document type (DTD) is not accepted; `doctype: skip` lets one be named", "doctype")

    def _entity(self, *declaration: Any) -> None:
        self.refuse("an entity declaration is not accepted", "doctype")

    def _unknown_entity(self, name: str, parameter: bool) -> None:
        self.refuse(f"the entity &{name:.60}; is not declared", "doctype")

    def _external(self, *reference: Any) -> int:
        self.refuse("an external entity is not accepted", "doctype")


def check_document(body: bytes, options: XmlOptions) -> None:
    """Raises Invalid unless the document is whole, well-formed, and within its limits: all, or nothing."""
    parser = Parser(body, options)
    depth = 0

    def start(name: str, attributes: list[str]) -> None:
        nonlocal depth
        depth += 1
        if depth > options.max_depth:
            parser.refuse(f"elements nest deeper than {options.max_depth} levels", "too_deep")
        if attributes:
            if len(attributes) > 2 * options.max_attributes:
                parser.refuse(f"an element has more than {options.max_attributes} attributes", "too_large")
            if sum(map(len, attributes)) > _LONGEST_ATTRIBUTES:
                parser.refuse(f"attributes have more than {_LONGEST_ATTRIBUTES:,} characters", "too_large")

    def end(name: str) -> None:
        nonlocal depth
        depth -= 1

    parser.handlers.ordered_attributes = True
    parser.handlers.StartElementHandler = start
    parser.handlers.EndElementHandler = end
    for _ in parser.pieces():
        pass


def _place(line: int, column: int) -> str:
    """Line and column, from 1; expat counts columns from 0."""
    return f"line {line} column {column + 1}"
