"""The body of a raw message with values, written by columns: what ``encode_body`` gives of a Table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from adapters.opcua.columns import Columns
from adapters.opcua.reading import Item

__all__ = ["Items", "write_table"]

_encode: Final = msgspec.json.Encoder().encode


class Items:
    """Whose values they are, as JSON by handle; mostly the same as those of the message before."""

    def __init__(self, labels: Sequence[tuple[str, str, str]], units: Mapping[int, str]) -> None:
        self._each = [
            _encode(Item(node=node, tag=tag, equipment=equipment, uom=units.get(handle)))
            for handle, (node, tag, equipment) in enumerate(labels)
        ]
        self._last: list[int] = []
        self._written = b"[]"

    def of(self, handles: list[int]) -> bytes:
        """The items of these handles, in order."""
        if handles != self._last:
            self._written = b"[" + b",".join([self._each[handle] for handle in handles]) + b"]"
            self._last = handles
        return self._written


def write_table(columns: Columns, items: bytes, *, session: str, subscription: int, sequence: int) -> bytes:
    """What ``reading.encode_body`` makes of the same Table. ``items`` are those of the columns' handles."""
    about = {"kind": "table", "session": session, "subscription": subscription, "sequence": sequence}
    rest = {
        "values": columns.values,
        "type": _one(columns.types),
        "status": _one(columns.statuses),
        "source_ticks": columns.source_ticks,
        "server_ticks": columns.server_ticks,
    }
    return b"".join((_encode(about)[:-1], b',"items":', items, b",", _encode(rest)[1:]))


def _one(column: list[Any]) -> Any:
    """The column, or what all of it says."""
    return column[0] if column and column.count(column[0]) == len(column) else column
