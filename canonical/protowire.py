"""The wire format of protocol buffers, read without a library: what the few who need it need of it."""

from __future__ import annotations

from collections.abc import Iterator

__all__ = ["fields", "message", "messages", "number", "text"]


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        value |= (byte & 0x7F) << shift
        at += 1
        if not byte & 0x80:
            return value, at
        shift += 7


def fields(data: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Field numbers with their values: an integer for a varint, bytes for all else, fixed widths too."""
    at = 0
    while at < len(data):
        tag, at = _varint(data, at)
        match tag & 7:
            case 0:
                value, at = _varint(data, at)
                yield tag >> 3, value
            case kind:
                size, at = _varint(data, at) if kind == 2 else (8 if kind == 1 else 4, at)
                yield tag >> 3, data[at : at + size]
                at += size


def messages(data: bytes, number: int) -> list[bytes]:
    """Every occurrence of a field that is no varint."""
    return [value for field, value in fields(data) if field == number and isinstance(value, bytes)]


def message(data: bytes, number: int) -> bytes:
    """The first of them; empty when there is none."""
    return next(iter(messages(data, number)), b"")


def text(data: bytes, number: int) -> str:
    """A field of text; empty when there is none."""
    return message(data, number).decode()


def number(data: bytes, number: int) -> int:
    """A field that is a varint; 0 when there is none."""
    return next((value for field, value in fields(data) if field == number and isinstance(value, int)), 0)
