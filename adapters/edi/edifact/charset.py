"""Character sets of the syntax identifiers (UNB 0001; ISO 9735 and its part 1), read leniently.

Files in the wild declare UNOA and carry UTF-8: what is valid UTF-8 is read as that, with a warning, and
only the rest as what was declared. The agreement with a partner may name the set instead.
"""

from __future__ import annotations

from typing import Final, Literal, get_args

from adapters.edi.lexer import Decode

__all__ = ["CODECS", "Charset", "Encoding"]

Charset = Literal[
    "UNOA",
    "UNOB",
    "UNOC",
    "UNOD",
    "UNOE",
    "UNOF",
    "UNOG",
    "UNOH",
    "UNOI",
    "UNOJ",
    "UNOK",
    "UNOW",
    "UNOX",
    "UNOY",
]

CODECS: Final[dict[str, str]] = {
    "UNOA": "ascii",
    "UNOB": "ascii",
    "UNOC": "iso8859-1",
    "UNOD": "iso8859-2",
    "UNOE": "iso8859-5",
    "UNOF": "iso8859-7",
    "UNOG": "iso8859-3",
    "UNOH": "iso8859-4",
    "UNOI": "iso8859-6",
    "UNOJ": "iso8859-8",
    "UNOK": "iso8859-9",
    "UNOW": "utf-8",
    "UNOX": "ascii",
    "UNOY": "utf-8",
}
assert set(CODECS) == set(get_args(Charset))


class Encoding:
    """What the bytes of one file can be."""

    def __init__(self, body: bytes) -> None:
        self._body = body
        self._utf8 = body.isascii() or _decodes(body, "utf-8")

    def read_as(self, identifier: str, agreed: Charset | None) -> tuple[Decode, str | None]:
        """How to read what is not ASCII, and what is odd about it, if anything.

        ``identifier`` is the interchange's own, ``agreed`` that of the agreement, which leaves no leniency.
        Raises ValueError when the file cannot be read as agreed.
        """
        if self._body.isascii():
            return str, None
        codec = CODECS.get(agreed or identifier)
        if agreed and codec:
            if not _decodes(self._body, codec):
                raise ValueError(f"holds bytes that {agreed}, as agreed, does not have")
            return _by(codec), None
        if self._utf8:
            allowed = codec == "utf-8"
            return _by("utf-8"), None if allowed else f"holds UTF-8, although it declares {identifier}"
        if codec and codec not in ("ascii", "utf-8") and _decodes(self._body, codec):
            return _by(codec), None
        return (
            str,
            f"holds characters that {identifier or 'no syntax identifier'} does not allow; read as UNOC",
        )


def _decodes(body: bytes, codec: str) -> bool:
    try:
        body.decode(codec)
    except UnicodeDecodeError:
        return False
    return True


def _by(codec: str) -> Decode:
    """A function that makes text of bytes that are kept one in a character."""
    return lambda text: text.encode("iso8859-1").decode(codec, errors="replace")
