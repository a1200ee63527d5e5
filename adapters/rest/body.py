"""Bodies of answers: read and unpacked with a bound, shown as one safe line."""

from __future__ import annotations

import re
import zlib
from collections.abc import AsyncIterator
from typing import Any

import aiohttp

from canonical.errors import Invalid

__all__ = ["TooLarge", "excerpt", "read", "read_some"]

_GZIP_OR_ZLIB = zlib.MAX_WBITS | 32  # tells by the header
_EXCERPT_CHARACTERS = 300


class TooLarge(Invalid):
    """A body beyond the configured size, as sent or unpacked."""

    code = "too_large"


async def read(response: aiohttp.ClientResponse, limit_bytes: int) -> bytes:
    """The whole body, unpacked (gzip, deflate). The session must not unpack by itself.

    Never holds much more than ``limit_bytes``. Raises TooLarge, Invalid for another or a broken
    encoding, and what aiohttp raises when the connection breaks.
    """
    encoding = response.headers.get("Content-Encoding", "identity").strip().lower()
    if encoding not in {"", "identity", "gzip", "x-gzip", "deflate"}:
        raise Invalid(f"the body is encoded as {encoding!r}, which was not asked for", code="encoding")
    packed = encoding not in {"", "identity"}
    unpacker = zlib.decompressobj(_GZIP_OR_ZLIB) if packed else None
    parts: list[bytes] = []
    size_bytes = 0
    async for chunk in _chunks(response, limit_bytes):
        part = _unpack(unpacker, chunk, limit_bytes - size_bytes) if unpacker else chunk
        parts.append(part)
        size_bytes += len(part)
    if unpacker and size_bytes and (not unpacker.eof or unpacker.unused_data):
        raise Invalid("the packed body ends too early, or goes on after its end", code="encoding")
    return b"".join(parts)


async def _chunks(response: aiohttp.ClientResponse, limit_bytes: int) -> AsyncIterator[bytes]:
    size_bytes = 0
    async for chunk in response.content.iter_any():
        size_bytes += len(chunk)
        if size_bytes > limit_bytes:
            raise TooLarge(f"the body is larger than {limit_bytes} bytes")
        yield chunk


def _unpack(unpacker: Any, chunk: bytes, room_bytes: int) -> bytes:
    try:
        part: bytes = unpacker.decompress(chunk, room_bytes + 1)
    except zlib.error as error:
        raise Invalid(f"the packed body is broken: {error}", code="encoding") from error
    if len(part) > room_bytes:
        raise TooLarge("the body is too large once unpacked")
    return part


async def read_some(response: aiohttp.ClientResponse, limit_bytes: int) -> bytes:
    """The first ``limit_bytes`` of the body, at least; a longer rest stays on the wire.

    Of an answer that is no success, as much as came: its status says enough. Empty when it is
    packed, which was not asked for. Raises what aiohttp raises when a success breaks off.
    """
    parts: list[bytes] = []
    size_bytes = 0
    try:
        async for chunk in response.content.iter_any():
            parts.append(chunk)
            size_bytes += len(chunk)
            if size_bytes >= limit_bytes:
                break
    except (aiohttp.ClientError, OSError):
        if response.ok:
            raise
    packed = response.headers.get("Content-Encoding", "identity").strip().lower() != "identity"
    return b"" if packed else b"".join(parts)


_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\s]+")


def excerpt(body: bytes) -> str:
    """The start of an answer as one line of text that is safe in logs; at most 300 characters."""
    text = _CONTROL.sub(" ", body[: 4 * _EXCERPT_CHARACTERS].decode("utf-8", "replace")).strip()
    return text if len(text) <= _EXCERPT_CHARACTERS else text[: _EXCERPT_CHARACTERS - 1] + "…"
