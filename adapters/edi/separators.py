"""Separators: the characters that punctuate an interchange, whichever standard it follows."""

from __future__ import annotations

from msgspec import Struct

__all__ = ["Separators"]


class Separators(Struct, frozen=True, kw_only=True):
    """What parts segments, elements, components and repetitions; ``release`` takes a meaning away.

    ``release`` and ``repetition`` are empty where there is none.
    """

    component: str = ":"
    element: str = "+"
    decimal: str = "."
    release: str = "?"
    repetition: str = ""
    terminator: str = "'"

    @property
    def una(self) -> str:
        """The service string advice that declares them."""
        reserved = self.repetition or " "
        return (
            f"UNA{self.component}{self.element}{self.decimal}{self.release or ' '}{reserved}{self.terminator}"
        )
