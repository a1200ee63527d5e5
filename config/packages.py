"""How rows say what is in an item's packages: a number above zero and a unit, like ``12 EA``."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Final

__all__ = ["PACKAGE", "content"]

PACKAGE: Final = "package"
"""The domain of these rows: ``system`` is the item or ``*``, ``value`` the package's unit."""

_CONTENT: Final = re.compile(r"([0-9]{1,12}(?:\.[0-9]{1,12})?) (\S{1,20})", re.ASCII)


def content(text: str) -> tuple[Decimal, str]:
    """(amount, unit). Raises ValueError for anything else, and for an amount of zero."""
    found = _CONTENT.fullmatch(text)
    amount = Decimal(found[1]) if found else Decimal(0)
    if found is None or not amount:
        raise ValueError(
            f"{text!r} does not say what is in a package; write a number above zero and a unit, like 12 EA"
        )
    return amount, found[2]
