"""The formatter of xml: a payload to a document, the mirror of what the decoder makes of one."""

from __future__ import annotations

import codecs
import math
import re
from collections.abc import Iterator, Mapping
from datetime import date, datetime
from decimal import Decimal
from typing import Any, Final

from adapters.markup.config import XmlOptions
from adapters.markup.names import in_scope, is_name
from canonical.errors import ConfigError, Invalid
from canonical.times import rfc3339
from canonical.values import decimal_text

__all__ = ["XmlFormatter"]

_FORBIDDEN: Final = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_LABELS: Final = {"iso8859": "iso-8859", "cp12": "windows-12", "-le": "le", "-be": "be", "ascii": "us-ascii"}
_LABEL: Final = re.compile("|".join(_LABELS))
_TEXT: Final = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;", "\r": "&#13;"})
_ATTRIBUTE: Final = {
    **_TEXT,
    **str.maketrans({'"': "&quot;", "\t": "&#9;", "\n": "&#10;"}),
}


class XmlFormatter:
    """``@name`` is an attribute, ``#text`` the text, a list repeats its element, null is an empty one."""

    def __init__(self, options: XmlOptions) -> None:
        """Raises ConfigError when there is no name for the root."""
        if options.root is None:
            raise ConfigError("`root` is missing: it names the document's element", key="root")
        self._options, self._root = options, options.root
        self._encoding = options.encoding or "utf-8"
        self._namespaces = "".join(
            f' xmlns{":" if prefix else ""}{prefix}="{uri.translate(_ATTRIBUTE)}"'
            for prefix, uri in options.namespaces.items()
        )
        self.content_type = f"application/xml; charset={self._encoding}"

    def format(self, payload: Any) -> bytes:
        """Raises Invalid with the JSON pointer of what has no form in XML."""
        if isinstance(payload, list | tuple):
            if self._options.item is None:
                raise _refused("", "is a list: name its elements with `item`")
            payload = {self._options.item: payload}
        parts = [f'<?xml version="1.0" encoding="{self._label()}"?>\n']
        parts.extend(self._element(self._root, payload, "", 1))
        # Names that the encoding lacks were refused; of other characters it writes the number.
        return "".join(parts).encode(self._encoding, "xmlcharrefreplace")

    def _label(self) -> str:
        """The name that XML knows the encoding by."""
        return _LABEL.sub(lambda found: _LABELS[found[0]], codecs.lookup(self._encoding).name)

    def _element(self, name: str, value: Any, at: str, depth: int) -> Iterator[str]:
        self._check_name(name, at)
        if depth > self._options.max_depth:
            raise _refused(at, f"nests deeper than {self._options.max_depth} levels")
        if isinstance(value, list | tuple):
            raise _refused(at, "a list within a list has no name for its elements")
        members = value if isinstance(value, Mapping) else {"#text": value}
        declared = self._namespaces if depth == 1 else ""
        attributes = "".join(
            self._attribute(str(key), entry, at) for key, entry in members.items() if str(key).startswith("@")
        )
        children = [part for part in self._children(members, at, depth) if part]
        if children:
            yield f"<{name}{declared}{attributes}>"
            yield from children
            yield f"</{name}>"
        else:
            yield f"<{name}{declared}{attributes}/>"

    def _attribute(self, key: str, value: Any, at: str) -> str:
        where = f"{at}/{key}"
        name = key.removeprefix("@")
        self._check_name(name, where)
        if name == "xmlns" or name.startswith("xmlns:"):
            raise _refused(where, "namespaces are declared with `namespaces`")
        if value is None:
            return ""
        return f' {name}="{_scalar(value, where).translate(_ATTRIBUTE)}"'

    def _children(self, members: Mapping[Any, Any], at: str, depth: int) -> Iterator[str]:
        text = members.get("#text")
        if text is not None:
            yield _scalar(text, at).translate(_TEXT)
        for key, value in members.items():
            name = str(key)
            if name == "#text" or name.startswith("@"):
                continue
            if isinstance(value, list | tuple):
                for index, entry in enumerate(value):
                    yield from self._element(name, entry, f"{at}/{name}/{index}", depth + 1)
            else:
                yield from self._element(name, value, f"{at}/{name}", depth + 1)

    def _check_name(self, name: str, at: str) -> None:
        if not is_name(name):
            raise _refused(at, f"{name!r:.60} is no name that XML allows")
        if not in_scope(name, self._options.namespaces):
            raise _refused(at, f"the prefix of {name!r:.60} is none of `namespaces`")
        try:
            name.encode(self._encoding)
        except UnicodeEncodeError:
            raise _refused(at, f"{self._encoding} cannot write the name {name!a:.60}") from None


def _scalar(value: Any, at: str) -> str:
    """A value as XML Schema writes it. Raises Invalid."""
    match value:
        case str():
            text = value
        case bool():
            text = "true" if value else "false"
        case int():
            text = str(value)
        case float() if math.isfinite(value):
            text = decimal_text(Decimal(repr(value)))
        case Decimal() if value.is_finite():
            text = decimal_text(value)
        case datetime() if value.tzinfo is not None:
            text = rfc3339(value)
        case date() if not isinstance(value, datetime):
            text = value.isoformat()
        case _:
            raise _refused(at, f"has no form in XML: {value!r:.60}")
    if bad := _FORBIDDEN.search(text):
        raise _refused(at, f"has the character {bad[0]!a}, which XML does not allow")
    return text


def _refused(at: str, detail: str) -> Invalid:
    return Invalid(f"not writable as XML: {at}: {detail}", code="not_xml", errors=[(at, detail)])
