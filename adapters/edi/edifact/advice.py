"""The six characters that punctuate an EDIFACT interchange (ISO 9735, UNA service string advice)."""

from __future__ import annotations

from typing import Final

from adapters.edi.separators import Separators

__all__ = ["DEFAULT", "UNA_SIZE", "read_una"]

UNA_SIZE: Final = 9
"""``UNA`` and the six characters after it."""


DEFAULT: Final = Separators()
"""What holds without a UNA: levels A and B of the syntax as all the world writes them."""


def read_una(text: str) -> Separators:
    """What a UNA declares; the reserved character counts as repetition separator unless it is a space.

    Whether it is one depends on the syntax version, which only the UNB tells. Raises ValueError, with what
    is wrong, for a UNA that is cut off, or whose characters cannot work.
    """
    told = text[3:UNA_SIZE]
    if len(told) < UNA_SIZE - 3:
        raise ValueError("UNA is cut off: six characters must follow it")
    component, element, decimal, release, reserved, terminator = tuple(told)
    working = [component, element, terminator, *([release] if release != " " else [])]
    if len(set(working)) < len(working):
        raise ValueError(f"UNA{told} gives one character two meanings")
    if any(character.isalnum() or character == " " for character in working):
        raise ValueError(f"UNA{told} separates by a letter, a digit or a space")
    if reserved == terminator or (terminator in "\r\n" and not reserved.isspace()):
        raise ValueError(f"UNA{told!r} has fewer than six characters")
    return Separators(
        component=component,
        element=element,
        decimal=decimal,
        release=release.strip(),
        repetition="" if reserved in (" ", *working) else reserved,
        terminator=terminator,
    )
