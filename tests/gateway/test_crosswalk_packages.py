"""What is in an item's packages: dated, exact, and waited for where nobody has said it."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from canonical.errors import Unresolved
from router.crosswalk import Crosswalk, Row
from router.packages import factor
from tests.gateway.hubs import Gate, event, order_data
from tests.router.rig import ScriptedSink, route
from tests.waiting import eventually

MARCH, MAY = datetime(2026, 3, 1, tzinfo=UTC), datetime(2026, 5, 1, tzinfo=UTC)
APRIL = datetime(2026, 4, 1, tzinfo=UTC).timestamp()


def holds(item: str, package: str, inside: str, **more: Any) -> Row:
    return Row(domain="package", system=item, value=package, canonical=inside, **more)


def ratio(rows: list[Row], source: str, target: str, *, plant: str = "", at: datetime = MAY) -> Fraction:
    return factor(Crosswalk(rows), "VALVE-9", source, target, plant=plant, at=at)


def test_a_factor_holds_from_its_date_and_in_its_plant() -> None:
    rows = [
        holds("VALVE-9", "CT", "12 EA", valid_to=APRIL),
        holds("VALVE-9", "CT", "10 EA", valid_from=APRIL),
        holds("VALVE-9", "CT", "6 EA", plant="brno"),
    ]
    assert ratio(rows, "CT", "EA", at=MARCH) == 12
    assert ratio(rows, "CT", "EA") == 10
    assert ratio(rows, "CT", "EA", plant="brno") == 6
    assert ratio(rows, "EA", "CT") == Fraction(1, 10)


def test_packages_of_packages_and_units_of_measure_are_followed() -> None:
    rows = [
        holds("VALVE-9", "PX", "40 CT"),
        holds("VALVE-9", "CT", "12 EA"),
        holds("VALVE-9", "EA", "2.5 KGM"),
    ]
    assert ratio(rows, "PX", "EA") == 480
    assert ratio(rows, "PX", "TNE") == Fraction(12, 10)
    assert ratio(rows, "GRM", "EA") == Fraction(1, 2500)
    assert ratio(rows, "MIN", "HUR") == Fraction(1, 60)
    assert ratio([], "CT", "CT") == 1


def test_pieces_are_not_the_same_until_a_steward_says_so() -> None:
    rows = [holds("VALVE-9", "CT", "12 EA")]
    for target in ("H87", "C62", "NAR"):
        with pytest.raises(Unresolved) as unresolved:
            ratio(rows, "CT", target)
        assert (unresolved.value.domain, unresolved.value.system, unresolved.value.value) == (
            "package",
            "VALVE-9",
            "CT",
        )
    declared = [*rows, holds("*", "EA", "1 H87")]
    assert ratio(declared, "CT", "H87") == 12
    assert ratio(declared, "H87", "EA") == 1
    own = [*declared, holds("VALVE-9", "EA", "2 H87")]
    assert ratio(own, "CT", "H87") == 24  # the item's own before the one for all


def test_a_factor_of_another_item_and_a_draft_say_nothing() -> None:
    rows = [holds("VALVE-8", "CT", "12 EA"), holds("VALVE-9", "CT", "10 EA", status="draft")]
    with pytest.raises(Unresolved):
        ratio(rows, "CT", "EA")


def test_temperatures_have_no_factor() -> None:
    with pytest.raises(Unresolved):
        ratio([], "CEL", "FAH")


AMOUNTS = st.decimals(min_value=Decimal("0.001"), max_value=Decimal(9999), places=3)


@given(AMOUNTS, AMOUNTS)
def test_there_and_back_is_exact(first: Decimal, second: Decimal) -> None:
    rows = [holds("VALVE-9", "PX", f"{first} CT"), holds("VALVE-9", "CT", f"{second} EA")]
    there, back = ratio(rows, "PX", "EA"), ratio(rows, "EA", "PX")
    assert there == Fraction(first) * Fraction(second)
    assert there * back == 1


async def test_a_route_waits_for_the_factor_and_goes_on_when_it_comes(gate: Gate) -> None:
    expression = "unit(data.quantity.value, data.quantity.uom, 'EA', data.item)"
    sink = ScriptedSink()
    await gate.route(route(map={"order": "data.order", "pieces": expression}), sink)
    cartons = order_data("O-1", item="VALVE-9", quantity={"value": "2.5", "uom": "CT"})
    pieces = order_data("O-2", item="VALVE-9", quantity={"value": "7", "uom": "EA"})
    await gate.record(event(1, data=cartons, time=MARCH), event(2, data=pieces, time=MARCH))
    steward = await gate.client("steward")

    async def missing() -> list[Any]:
        lanes = (await steward.get("/v1/lanes")).json()["items"]
        return [lane["missing"] for lane in lanes]

    (code,) = await eventually(missing)
    assert code == {"domain": "package", "system": "VALVE-9", "value": "CT"}
    late = {"domain": "package", "system": "VALVE-9", "value": "CT", "canonical": "12 EA"}
    later = {**late, "canonical": "10 EA", "valid_from": "2026-04-01T00:00:00Z"}
    assert (await steward.post("/v1/crosswalks", json=later)).status_code == 201  # of another time
    assert (await steward.post("/v1/crosswalks", json={**late, "canonical": "a dozen"})).status_code == 422
    answer = await steward.post("/v1/crosswalks", json={**late, "valid_to": "2026-04-01T00:00:00Z"})
    assert answer.status_code == 201, answer.text

    def delivered() -> dict[str, str]:
        return {
            payload["order"]: payload["pieces"]
            for payload in (json.loads(delivery.payload) for delivery in sink.accepted)
        }

    await eventually(lambda: len(delivered()) == 2)
    assert delivered() == {"O-1": "30", "O-2": "7"}
