"""NodeIds as an operator writes them: with the namespace's URI, which a restart of the server cannot change.

Source: OPC 10000-6, 5.3.1.10 and 5.3.1.11 (string forms of NodeId and ExpandedNodeId).
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Sequence
from uuid import UUID

from msgspec import Struct

__all__ = ["NodeAddress", "parse_node"]

_NODE = re.compile(
    r"(?:nsu=(?P<uri>[^;]+);|ns=(?P<index>[0-9]{1,5});)?(?P<kind>[isgb])=(?P<name>.+)", re.DOTALL
)
_NUMBER_MAX = 0xFFFFFFFF
_INDEX_MAX = 0xFFFF


class NodeAddress(Struct, frozen=True, kw_only=True):
    """A node on a server. Either ``uri`` or ``index`` says the namespace; neither means the standard one."""

    text: str
    kind: str
    identifier: int | str | UUID | bytes
    uri: str | None = None
    index: int | None = None

    def namespace(self, namespaces: Sequence[str]) -> int | None:
        """The namespace's index on a server whose NamespaceArray this is; None when it has no such one."""
        if self.uri is not None:
            return namespaces.index(self.uri) if self.uri in namespaces else None
        index = self.index or 0
        return index if index < len(namespaces) else None


def parse_node(text: str) -> NodeAddress:
    """The node of ``nsu=URI;s=NAME``, ``ns=2;i=1001`` or ``i=2258``; kinds i, s, g and b.

    ``%3B`` and ``%25`` in a URI stand for ``;`` and ``%``. Raises ValueError that says what to write.
    """
    found = _NODE.fullmatch(text.strip())
    if found is None:
        raise ValueError(
            f"{text!r} is not a NodeId; write it like nsu=http://example.com/line;s=Oil.Temperature"
            " (kinds: s= text, i= number, g= GUID, b= base64)"
        )
    uri, index, kind, name = found.group("uri", "index", "kind", "name")
    if index is not None and int(index) > _INDEX_MAX:
        raise ValueError(f"{text!r}: a namespace index is at most {_INDEX_MAX}")
    return NodeAddress(
        text=text.strip(),
        kind=kind,
        identifier=_identifier(kind, name, text),
        uri=uri.replace("%3B", ";").replace("%25", "%") if uri else None,
        index=int(index) if index is not None else None,
    )


def _identifier(kind: str, name: str, text: str) -> int | str | UUID | bytes:
    try:
        match kind:
            case "i":
                if not (name.isdecimal() and name.isascii() and int(name) <= _NUMBER_MAX):
                    raise ValueError("i= takes a number from 0 to 4294967295")
                return int(name)
            case "g":
                return UUID(name)
            case "b":
                return base64.b64decode(name, validate=True)
            case _:
                return name
    except (ValueError, binascii.Error) as error:
        raise ValueError(f"{text!r} is not a NodeId: {error}") from None
