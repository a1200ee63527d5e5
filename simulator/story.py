"""What happens in the company, over and over: items, rhythm, and what goes wrong on purpose."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Final

__all__ = [
    "AACHEN_ITEMS",
    "BRNO_ITEMS",
    "UNKNOWN_ITEM",
    "Rhythm",
    "is_failing",
    "is_rejected",
    "is_unknown",
    "wander",
]

AACHEN_ITEMS: Final = ("A-4711", "A-4712", "A-4720", "A-4803")
"""What the MES of Aachen calls the items that it makes; the demo's crosswalk knows them all."""
BRNO_ITEMS: Final = ("B100-20", "B100-25", "B200-10")
"""What the floor of Brno calls the items that it moves."""
UNKNOWN_ITEM: Final = "A-9999"
"""A code that no crosswalk knows: orders for it are parked."""

_CYCLE: Final = 20
_UNKNOWN_AT: Final = 6
_REJECTED_AT: Final = 11
_FAILING_AT: Final = 31


@dataclass(frozen=True, slots=True, kw_only=True)
class Rhythm:
    """Seconds between the steps of the story.

    ``erp_away_at`` and ``erp_away_for`` count from the beginning: the ERP is away once.
    """

    order: float = 1.0
    operation: float = 3.0
    measurement: float = 0.5
    count: float = 5.0
    state: float = 7.0
    move: float = 2.0
    malformed: float = 10.0
    erp_away_at: float = 8.0
    erp_away_for: float = 4.0


def is_unknown(order: int) -> bool:
    """Whether the order with this index, from 0, is for an item that no crosswalk knows."""
    return order % _CYCLE == _UNKNOWN_AT


def is_rejected(order: int) -> bool:
    """Whether the ERP refuses (422) the confirmation of the order with this index."""
    return order % (2 * _CYCLE) == _REJECTED_AT


def is_failing(order: int) -> bool:
    """Whether the ERP fails (500) for the confirmation of the order with this index."""
    return order % (2 * _CYCLE) == _FAILING_AT


def wander(value: float, *, low: float, high: float, step: float, chance: random.Random) -> float:
    """The next value of a measurement: near the last one, within bounds, and never equal to it."""
    moved = round(value + chance.choice((-1, 1)) * chance.uniform(0.1, 1.0) * step, 3)
    return moved if low <= moved <= high else round(value + (step if value < (low + high) / 2 else -step), 3)
