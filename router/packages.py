"""What is in an item's packages, since when: 1 CT of item X = 12 EA. Exact, and never a default.

A factor is a crosswalk row of domain ``package``: ``system`` is the canonical item, or ``*`` for all of them,
``value`` the unit (``CT``), ``canonical`` what one of it is (``12 EA``). So factors have dates, plants,
stewards and a history like any row, and what waits for one is delivered when it comes. That EA and H87 are
the same is such a row, too: until a steward writes it they are not.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from datetime import datetime
from decimal import Decimal
from fractions import Fraction
from typing import Final

from canonical import units
from canonical.errors import Unresolved
from config.packages import PACKAGE, content
from router.crosswalk import Crosswalk

__all__ = ["ANY_ITEM", "factor"]

ANY_ITEM: Final = "*"


def factor(
    crosswalk: Crosswalk, item: str, source: str, target: str, *, plant: str, at: datetime
) -> Fraction:
    """How many ``target`` are in one ``source`` of the item at that moment, over several steps if need be.

    The item's own factors and those for all items, both ways, and what physical units convert into. The
    fewest steps win; of equal ones the item's own. Raises Unresolved, so that the event waits for the row.
    """
    if source == target:
        return Fraction(1)
    edges = _edges(crosswalk, item, plant, at)
    reached, queue = {source: Fraction(1)}, deque([source])
    while queue:
        unit = queue.popleft()
        so_far = reached[unit]
        direct = _physical(unit, target)
        if direct is not None:
            return so_far * direct
        for following, ratio in _from(unit, edges):
            if following == target:
                return so_far * ratio
            if following not in reached:
                reached[following] = so_far * ratio
                queue.append(following)
    raise Unresolved(domain=PACKAGE, system=item, value=source, plant=plant)


Edge = tuple[str, str, Fraction]
"""(package, the unit of its content, how many)."""


def _edges(crosswalk: Crosswalk, item: str, plant: str, at: datetime) -> list[Edge]:
    """The item's own rows hide those for all items about the same package."""
    own = crosswalk.packages(item, plant=plant, at=at)
    mine = {row.value for row in own}
    general = crosswalk.packages(ANY_ITEM, plant=plant, at=at) if item != ANY_ITEM else []
    found = list[Edge]()
    for row in [*own, *(row for row in general if row.value not in mine)]:
        amount, unit = content(row.canonical)
        found.append((row.value, unit, Fraction(amount)))
    return found


def _from(unit: str, edges: list[Edge]) -> Iterator[tuple[str, Fraction]]:
    for package, inside, amount in edges:
        if package == unit:
            yield inside, amount
        elif inside == unit:
            yield package, 1 / amount
        else:
            physical = _physical(unit, inside)
            if physical is not None:  # 500 GRM in a bag, asked for in KGM
                yield inside, physical


def _physical(source: str, target: str) -> Fraction | None:
    """The ratio of two physical units of one kind; None when there is none, as between temperatures."""
    if source == target:
        return Fraction(1)
    known = units.UNITS.get(source), units.UNITS.get(target)
    if known[0] is None or known[1] is None or known[0].kind != known[1].kind:
        return None
    if known[0].kind == "temperature":
        return None
    ways = (source, target), (target, source)
    there, back = (Fraction(units.convert(Decimal(1), *way)) for way in ways)
    # One of the two has few digits and so was not rounded: 60 is exact where 0.01666… cannot be.
    return there if there.denominator <= back.denominator else 1 / back
