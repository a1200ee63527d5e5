"""Messages whose properties the library cannot read: they come in without them.

pamqp raises for text that is not UTF-8, for time stamps beyond the year 9999 and for field types that it
does not know, and aiormq ends the connection for that. The broker then delivers the same message again:
one message of a careless sender would stall its queue for good.
"""

from __future__ import annotations

import struct

from pamqp import header

__all__ = ["CONTENT_HEADER", "legible"]

CONTENT_HEADER = 2
"""AMQP 0-9-1, 4.2.3: the frame type of a message's properties."""
HEAD_BYTES = 7
FLAGS_AT = HEAD_BYTES + 12
"""4.2.6.1: after the frame's head come class, weight and body size, then the flags of what follows."""


def legible(frame: bytes) -> bytes | None:
    """None when the library can read the content header; else the same frame without properties.

    The bytes of the properties stay where they are, since the frame's length is known already; no flag
    says that they mean anything.
    """
    try:
        header.ContentHeader().unmarshal(frame[HEAD_BYTES:-1])
    except Exception:  # noqa: BLE001 - whatever it raises here, it would raise when reading the frame
        return frame[:FLAGS_AT] + struct.pack(">H", 0) + frame[FLAGS_AT + 2 :]
    return None
