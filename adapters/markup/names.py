"""Names of elements and attributes: as expat reports them, as records have them, and as they are written."""

from __future__ import annotations

import codecs
import re
from collections.abc import Callable, Mapping
from functools import cache
from typing import Final

__all__ = ["BETWEEN", "XML", "check_prefixes", "in_scope", "is_encoding", "is_name", "is_nil", "namer"]

BETWEEN: Final = " "
"""What stands between namespace and name in what expat reports; no URI has it."""

XML: Final = "http://www.w3.org/XML/1998/namespace"
_XMLNS: Final = "http://www.w3.org/2000/xmlns/"
_NIL: Final = f"http://www.w3.org/2001/XMLSchema-instance{BETWEEN}nil"

_FIRST: Final = (
    "A-Z_a-z\u00c0-\u00d6\u00d8-\u00f6\u00f8-\u02ff\u0370-\u037d\u037f-\u1fff\u200c\u200d\u2070-\u218f"
    "\u2c00-\u2fef\u3001-\ud7ff\uf900-\ufdcf\ufdf0-\ufffd\U00010000-\U000effff"
)
_NEXT: Final = f"{_FIRST}\\-.0-9\u00b7\u0300-\u036f\u203f\u2040"
_PLAIN: Final = f"[{_FIRST}][{_NEXT}]*"
_NAME: Final = re.compile(f"{_PLAIN}(:{_PLAIN})?")
_ENCODINGS: Final = re.compile(
    r"ascii|utf-(8|16|16-le|16-be)|iso8859-\d+|koi8-[ru]|mac-[a-z0-9]+|cp(437|7\d\d|8[56]\d|874|125\d)"
)
_PREFIX: Final = re.compile(_PLAIN)


def is_name(text: str) -> bool:
    """Whether an element or attribute may be called so; it may have a prefix (Namespaces in XML 1.0, 4)."""
    return _NAME.fullmatch(text) is not None


def is_encoding(name: str) -> bool:
    """Whether documents may be encoded so: what expat knows itself, and charsets of one byte a character."""
    try:
        return _ENCODINGS.fullmatch(codecs.lookup(name).name) is not None
    except (LookupError, ValueError):
        return False


def in_scope(name: str, namespaces: Mapping[str, str]) -> bool:
    """Whether the prefix of a name, if it has one, is declared; ``xml`` always is."""
    prefix, colon, _ = name.partition(":")
    return not colon or prefix == "xml" or prefix in namespaces


def check_prefixes(namespaces: Mapping[str, str]) -> None:
    """Raises ValueError for what no document can declare."""
    for prefix, uri in namespaces.items():
        if prefix and (not _PREFIX.fullmatch(prefix) or prefix.lower().startswith("xml")):
            raise ValueError(f"{prefix!r} is no prefix of a namespace")
        if not uri or BETWEEN in uri or uri in (XML, _XMLNS):
            raise ValueError(f"{uri!r} is no URI of a namespace that can be declared")


def namer(namespaces: Mapping[str, str]) -> Callable[[str], str]:
    """What makes the name in a record of the one that expat reports. Forgets nothing, so one per document."""
    prefixes = {uri: prefix for prefix, uri in namespaces.items()} | {XML: "xml"}

    @cache
    def name(reported: str) -> str:
        uri, _, local = reported.rpartition(BETWEEN)
        if not uri or (not namespaces and uri != XML):
            return local
        prefix = prefixes.get(uri)
        if prefix is None:
            return f"{{{uri}}}{local}"
        return f"{prefix}:{local}" if prefix else local

    return name


def is_nil(attributes: Mapping[str, str]) -> bool:
    """Whether an element says that it has no value (XML Schema 1, 2.6.2)."""
    return attributes.get(_NIL, "").strip() in ("true", "1")
