"""What happens in the company, over and over: items, rhythm, and what goes wrong on purpose."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

__all__ = [
    "AACHEN_ITEMS",
    "BRNO_ITEMS",
    "COVENTRY_ITEMS",
    "SUPPLIERS",
    "UNKNOWN_ITEM",
    "Material",
    "Rhythm",
    "Supplier",
    "Turn",
    "fails_inspection",
    "is_failing",
    "is_rejected",
    "is_unknown",
    "stays_unanswered",
    "turn",
    "wander",
]

AACHEN_ITEMS: Final = ("A-4711", "A-4712", "A-4720", "A-4803")
"""What the MES of Aachen calls the items that it makes; the demo's crosswalk knows them all."""
BRNO_ITEMS: Final = ("B100-20", "B100-25", "B200-10")
"""What the floor of Brno calls the items that it moves."""
COVENTRY_ITEMS: Final = ("CV-200", "CV-310", "CV-320")
"""What Coventry calls the items that it makes."""
UNKNOWN_ITEM: Final = "A-9999"
"""A code that no crosswalk knows: orders for it are parked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Material:
    """What a supplier sells: its own code, the ERP's material number, and the unit in the ERP (Rec 20)."""

    code: str
    erp: str
    unit: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Supplier:
    """A supplier: the hub's partner, the ERP's number for it, its code for itself, what it sells.

    ``unknown`` is a code of its that no crosswalk knows. ``ship_to``: where we want its goods, by the ERP's
    number and by its own code.
    """

    name: str
    erp: str
    code: str
    materials: tuple[Material, ...]
    unknown: str
    ship_to: tuple[str, str]


SUPPLIERS: Final = (
    Supplier(
        name="nordstahl",
        erp="V-1001",
        code="4012345000009",
        materials=(
            Material(code="NS-S235-8", erp="300110", unit="KGM"),
            Material(code="NS-S355-12", erp="300112", unit="KGM"),
        ),
        unknown="NS-S960-4",
        ship_to=("1010", "4012345000108"),
    ),
    Supplier(
        name="lakeshore",
        erp="V-1002",
        code="LAKESHORE",
        materials=(
            Material(code="LF-M8X40", erp="300210", unit="H87"),
            Material(code="LF-M12X60", erp="300212", unit="H87"),
        ),
        unknown="LF-M20X99",
        ship_to=("3010", "DC-COV"),
    ),
    Supplier(
        name="portal",
        erp="V-1003",
        code="V-1003",
        materials=(Material(code="PAL-EUR", erp="300310", unit="H87"),),
        unknown="",
        ship_to=("2010", "2010"),
    ),
)
"""By EDIFACT, by X12, and over the portal; purchase orders go to them in turn."""

Turn = Literal["plain", "unknown", "twice", "late", "truncated"]
"""How a shipment's advice goes: a code nobody knows, sent twice, goods that come late, a file cut short."""
_TURNS: Final[Mapping[str, tuple[Turn, ...]]] = {
    "nordstahl": ("plain", "twice", "truncated", "plain", "late", "unknown", "plain", "plain"),
    "lakeshore": ("plain", "unknown", "late", "plain", "twice", "truncated", "plain", "plain"),
}

_CYCLE: Final = 20
_UNKNOWN_AT: Final = 6
_REJECTED_AT: Final = 11
_FAILING_AT: Final = 21
_UNANSWERED_AT: Final = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Rhythm:
    """Seconds between the steps of the story. ``reaction``: from a document to what a system makes of it.

    The ERP is away for the first time ``erp_away_at`` after the beginning, then ``every`` so often.
    ``erp_fails_for`` is how long it answers 500 for a document that it takes afterwards.
    """

    order: float = 1.0
    operation: float = 3.0
    measurement: float = 0.5
    count: float = 5.0
    state: float = 7.0
    move: float = 2.0
    malformed: float = 10.0
    stock: float = 6.0
    file: float = 4.0
    purchase: float = 1.5
    shipment: float = 2.0
    report: float = 9.0
    sales: float = 4.0
    downtime: float = 6.0
    inspection: float = 3.0
    reaction: float = 2.0
    erp_away_at: float = 8.0
    erp_away_for: float = 4.0
    erp_away_every: float = 180.0
    erp_fails_for: float = 3.0


def is_unknown(order: int) -> bool:
    """Whether the order with this index, from 0, is for an item that no crosswalk knows."""
    return order % _CYCLE == _UNKNOWN_AT


def is_rejected(order: int) -> bool:
    """Whether the ERP refuses (422) the confirmation of the order with this index."""
    return order % (2 * _CYCLE) == _REJECTED_AT


def is_failing(order: int) -> bool:
    """Whether the ERP fails (500) for the confirmation of the order with this index."""
    return order % (2 * _CYCLE) == _FAILING_AT


def stays_unanswered(supplier: str, order: int) -> bool:
    """Whether the supplier forgets to acknowledge the order with this index, so that we have to ask."""
    return supplier == "lakeshore" and order % _CYCLE == _UNANSWERED_AT


def fails_inspection(index: int) -> bool:
    """Whether the lot of the inspection with this index is bad, so that a hold is placed on it."""
    return index % 5 == 2


def turn(supplier: str, index: int) -> Turn:
    """How the advice of a supplier's shipment with this index, from 0, goes."""
    turns = _TURNS[supplier]
    return turns[index % len(turns)]


def wander(value: float, *, low: float, high: float, step: float, chance: random.Random) -> float:
    """The next value of a measurement: near the last one, within bounds, and never equal to it."""
    moved = round(value + chance.choice((-1, 1)) * chance.uniform(0.1, 1.0) * step, 3)
    return moved if low <= moved <= high else round(value + (step if value < (low + high) / 2 else -step), 3)
