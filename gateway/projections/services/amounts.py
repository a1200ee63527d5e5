"""Sums of quantities: decimals as text, and never of two units."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any

__all__ = ["added", "at_least", "negated"]


def added(quantities: Iterable[Mapping[str, Any]]) -> dict[str, str] | None:
    """Their sum; None for none at all, or when their units differ."""
    total, unit = Decimal(0), None
    for quantity in quantities:
        if unit is not None and quantity["uom"] != unit:
            return None
        unit = quantity["uom"]
        total += Decimal(quantity["value"])
    return None if unit is None else {"value": format(total, "f"), "uom": unit}


def negated(quantity: Mapping[str, Any]) -> dict[str, str]:
    """The quantity with the other sign."""
    return {"value": format(-Decimal(quantity["value"]), "f"), "uom": quantity["uom"]}


def at_least(quantity: Mapping[str, Any] | None, wanted: Mapping[str, Any] | None) -> bool:
    """Whether a quantity reaches another one of the same unit."""
    if quantity is None or wanted is None or quantity["uom"] != wanted["uom"]:
        return False
    return Decimal(quantity["value"]) >= Decimal(wanted["value"])
