"""OPC UA's binary encoding of values, read into JSON values.

Source: OPC 10000-6, 5.2.2. Scalars of the common types are read by ``columns`` itself, which
calls this module for all others.
"""

from __future__ import annotations

import base64
import math
import struct
from collections.abc import Callable
from typing import Any, Final
from uuid import UUID

from adapters.opcua.builtin import FIXED, TYPES, WireError, finite, instant

__all__ = ["Cursor"]

_LONGEST: Final = 50_000_000
_DEEPEST: Final = 32

_u16 = struct.Struct("<H").unpack_from
_u32 = struct.Struct("<I").unpack_from
_i32 = struct.Struct("<i").unpack_from
_i64 = struct.Struct("<q").unpack_from


class Cursor:
    """A place in a message's bytes; each method reads one thing and moves on.

    All raise WireError for what is cut off or impossible, never another exception.
    """

    __slots__ = ("at", "data", "depth")

    def __init__(self, data: bytes, at: int = 0) -> None:
        self.data, self.at, self.depth = data, at, 0

    def take(self, size: int) -> bytes:
        """The next bytes, all of them."""
        end = self.at + size
        if size < 0 or end > len(self.data):
            raise WireError(f"{size} bytes wanted at {self.at} of {len(self.data)}")
        found = self.data[self.at : end]
        self.at = end
        return found

    def byte(self) -> int:
        return self.take(1)[0]

    def u16(self) -> int:
        value: int = _u16(self.take(2))[0]
        return value

    def u32(self) -> int:
        value: int = _u32(self.take(4))[0]
        return value

    def i64(self) -> int:
        value: int = _i64(self.take(8))[0]
        return value

    def length(self) -> int:
        """The length of an array or text; 0 for a null one."""
        size: int = _i32(self.take(4))[0]
        if size > _LONGEST or size > len(self.data) - self.at:
            raise WireError(f"a length of {size} at {self.at} of {len(self.data)}")
        return max(size, 0)

    def blob(self) -> bytes | None:
        """A ByteString; None for null."""
        size: int = _i32(self.take(4))[0]
        return None if size < 0 else self.take(size)

    def text(self) -> str | None:
        """A String; None for null. What is not UTF-8 keeps its place as U+FFFD."""
        found = self.blob()
        return None if found is None else found.decode("utf-8", "replace")

    def node_id(self) -> str:
        """A NodeId as text, ``ns=2;s=name``."""
        return self._node_id(self.byte() & 0x3F)

    def _node_id(self, form: int) -> str:
        match form:
            case 0:
                return f"i={self.byte()}"
            case 1:
                index = self.byte()
                return _named(index, f"i={self.u16()}")
            case 2:
                index = self.u16()
                return _named(index, f"i={self.u32()}")
            case 3:
                index = self.u16()
                return _named(index, f"s={self.text() or ''}")
            case 4:
                index = self.u16()
                return _named(index, f"g={self.guid()}")
            case 5:
                index = self.u16()
                return _named(index, f"b={_base64(self.blob() or b'')}")
            case _:
                raise WireError(f"no NodeId has the form {form}")

    def expanded_node_id(self) -> str:
        """An ExpandedNodeId as text."""
        mask = self.byte()
        node = self._node_id(mask & 0x3F)
        if mask & 0x80:
            node = f"nsu={self.text()};{node}"
        return f"svr={self.u32()};{node}" if mask & 0x40 else node

    def guid(self) -> str:
        return str(UUID(bytes_le=self.take(16)))

    def localized_text(self) -> str | None:
        """Its text; the locale is left out."""
        mask = self.byte()
        if mask & 1:
            self.text()
        return self.text() if mask & 2 else None

    def qualified_name(self) -> str:
        index = self.u16()
        name = self.text() or ""
        return f"{index}:{name}" if index else name

    def extension_object(self) -> dict[str, str]:
        """The type id, and the body in base64: structures are not read."""
        type_id = self.node_id()
        body = self.blob() if self.byte() else b""
        return {"type_id": type_id, "body": _base64(body or b"")}

    def skip_diagnostics(self) -> None:
        """A DiagnosticInfo, which nobody here needs."""
        with _Deeper(self):
            mask = self.byte()
            self.take(4 * (mask & 0x0F).bit_count())
            if mask & 0x10:
                self.blob()
            if mask & 0x20:
                self.take(4)
            if mask & 0x40:
                self.skip_diagnostics()

    def data_value(self) -> Any:
        """Only the value of a DataValue within a value."""
        mask = self.byte()
        value = self.variant()[0] if mask & 1 else None
        self.take(sum(size for bit, size in ((2, 4), (4, 8), (16, 2), (8, 8), (32, 2)) if mask & bit))
        return value

    def variant(self) -> tuple[Any, str]:
        """(value, type); arrays as lists, of several dimensions as lists of lists."""
        with _Deeper(self):
            mask = self.byte()
            number = mask & 0x3F
            if number >= len(TYPES):
                raise WireError(f"no built-in type has the id {number}")
            if not mask & 0x80:
                return self.scalar(number), TYPES[number]
            values = [self.scalar(number) for _ in range(self.length())]
            shape = [_i32(self.take(4))[0] for _ in range(self.length())] if mask & 0x40 else []
            return _shaped(values, shape), TYPES[number] + "[]"

    def scalar(self, number: int) -> Any:
        """One value of the built-in type with this id, as a JSON value."""
        if number in FIXED:
            unpack, size = FIXED[number]
            value = unpack(self.take(size))[0]
            return finite(value) if isinstance(value, float) else value
        return _OTHERS[number](self)


class _Deeper:
    """Counts how deep values are nested, so that hostile bytes cannot exhaust the stack."""

    __slots__ = ("cursor",)

    def __init__(self, cursor: Cursor) -> None:
        self.cursor = cursor

    def __enter__(self) -> None:
        self.cursor.depth += 1
        if self.cursor.depth > _DEEPEST:
            raise WireError("values are nested too deep")

    def __exit__(self, *_: object) -> None:
        self.cursor.depth -= 1


def _named(index: int, name: str) -> str:
    return f"ns={index};{name}" if index else name


def _base64(body: bytes) -> str:
    return base64.b64encode(body).decode("ascii")


def _bytes(cursor: Cursor) -> str | None:
    found = cursor.blob()
    return None if found is None else _base64(found)


def _shaped(values: list[Any], shape: list[int]) -> list[Any]:
    """A flat array in its dimensions, the last one running fastest."""
    if len(shape) < 2:
        return values
    if math.prod(shape) != len(values) or min(shape) < 1:
        raise WireError(f"{len(values)} values in the dimensions {shape}")
    for size in reversed(shape[1:]):
        values = [values[at : at + size] for at in range(0, len(values), size)]
    return values


_OTHERS: Final[dict[int, Callable[[Cursor], Any]]] = {
    0: lambda cursor: None,
    12: Cursor.text,
    13: lambda cursor: instant(cursor.i64()),
    14: Cursor.guid,
    15: _bytes,
    16: Cursor.text,
    17: Cursor.node_id,
    18: Cursor.expanded_node_id,
    19: Cursor.u32,
    20: Cursor.qualified_name,
    21: Cursor.localized_text,
    22: Cursor.extension_object,
    23: Cursor.data_value,
    24: lambda cursor: cursor.variant()[0],
    25: Cursor.skip_diagnostics,
}
