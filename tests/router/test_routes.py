"""Crosswalks and compiled routes: what is sent, in whose codes, as of when."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from canonical import catalogue
from canonical.errors import Unresolved
from canonical.expression import ExpressionError, Template
from router import crosswalk
from router.crosswalk import Crosswalk, Overlap, Row
from router.paths import replace_at
from router.routes import Codes, idempotency_key
from tests.router.rig import ITEMS, SOURCE, order, route, running

NOW = datetime.now(UTC)


def row(value: str, canonical: str, **columns: object) -> Row:
    settings: dict[str, object] = {"domain": "item", "system": "mes", "value": value, "canonical": canonical}
    return Row(**{**settings, **columns})  # type: ignore[arg-type]


def test_a_plants_own_row_goes_before_the_enterprises() -> None:
    known = Crosswalk([row("A", "GENERAL"), row("A", "LOCAL", plant="aachen")])
    ask = {"domain": "item", "system": "mes", "value": "A", "at": NOW}
    assert known.canonical(plant="aachen", **ask) == "LOCAL"  # type: ignore[arg-type]
    assert known.canonical(plant="brno", **ask) == "GENERAL"  # type: ignore[arg-type]


def test_rows_hold_as_of_the_events_time() -> None:
    change = NOW.timestamp()
    known = Crosswalk([row("A", "OLD", valid_to=change), row("A", "NEW", valid_from=change)])
    ask = {"domain": "item", "system": "mes", "plant": "", "value": "A"}
    assert known.canonical(at=NOW - timedelta(days=1), **ask) == "OLD"
    assert known.canonical(at=NOW, **ask) == "NEW"


def test_drafts_and_retired_rows_mean_nothing() -> None:
    known = Crosswalk([row("A", "X", status="draft"), row("A", "Y", status="retired")])
    with pytest.raises(Unresolved, match="no crosswalk row for item 'A' of system 'mes'"):
        known.canonical(domain="item", system="mes", plant="", value="A", at=NOW)


moments = st.none() | st.floats(0, 100)


@given(moments, moments, moments, moments, st.floats(0, 100))
def test_rows_that_do_not_overlap_never_both_hold(
    a: float | None, b: float | None, c: float | None, d: float | None, at: float
) -> None:
    one, two = row("A", "X", valid_from=a, valid_to=b), row("A", "Y", valid_from=c, valid_to=d)
    assert one.overlaps(two) == two.overlaps(one)
    if not one.overlaps(two):
        assert not (one.covers(at) and two.covers(at))


async def test_overlapping_rows_are_refused_and_a_file_is_what_it_says(tmp_path: Path) -> None:
    async with running(tmp_path) as rig:
        await rig.journal.write(lambda t: crosswalk.add(t, row("A", "X")))
        with pytest.raises(Overlap, match="already means 'X'"):
            await rig.journal.write(lambda t: crosswalk.add(t, row("A", "Y")))
        first = [row("B", "X", origin="file:a.csv"), row("C", "X", origin="file:a.csv")]
        assert await rig.journal.write(lambda t: crosswalk.sync_origin(t, "file:a.csv", first)) == 2
        second = [row("B", "X", origin="file:a.csv"), row("D", "X", origin="file:a.csv")]
        assert await rig.journal.write(lambda t: crosswalk.sync_origin(t, "file:a.csv", second)) == 2
        left = await rig.journal.read(lambda t: crosswalk.rows(t, origin="file:a.csv"))
        assert [each.value for each in left] == ["B", "D"]


def test_replacing_shares_what_it_does_not_touch() -> None:
    data = {"lines": [{"item": "a", "n": 1}, {"n": 2}, {"item": None}], "other": {"deep": [1]}}
    places: list[str] = []

    def upper(value: str, place: str) -> str:
        places.append(place)
        return value.upper()

    changed = replace_at(data, "data.lines[].item", upper)
    assert changed["lines"] == [{"item": "A", "n": 1}, {"n": 2}, {"item": None}]
    assert places == ["/lines/0/item"]
    assert changed["other"] is data["other"]
    assert data["lines"][0]["item"] == "a"  # type: ignore[index]


def test_codes_go_in_and_out() -> None:
    known = Crosswalk([row("A-1", "ITEM-1"), row("100-1", "ITEM-1", system="erp")])
    compiled = route(
        inbound={SOURCE: ITEMS}, outbound=Codes(system="erp", fields=("data.item",)), map={"sku": "data.item"}
    )
    delivery = compiled.deliver(order(1, "o", "A-1"), known)
    assert delivery is not None
    assert delivery.payload == b'{"sku":"100-1"}'
    assert delivery.event.data["item"] == "A-1"  # the event stays what was said


def test_a_condition_sees_canonical_codes_and_only_then_needs_them() -> None:
    known = Crosswalk([row("A-1", "ITEM-1")])
    on_code = route(inbound={SOURCE: ITEMS}, when="data.item == 'ITEM-1'")
    assert on_code.deliver(order(1, "o", "A-1"), known) is not None
    with pytest.raises(Unresolved):
        on_code.deliver(order(1, "o", "UNKNOWN"), known)
    on_number = route(inbound={SOURCE: ITEMS}, when="data.number > 5")
    assert on_number.deliver(order(1, "o", "UNKNOWN"), known) is None


def test_lookup_in_a_map_gives_the_systems_code_or_parks() -> None:
    compiled = route(map={"sku": "lookup('item', 'erp', data.item)"})
    known = Crosswalk([row("100-1", "ITEM-1", system="erp")])
    delivery = compiled.deliver(order(1, "o", "ITEM-1"), known)
    assert delivery is not None
    assert delivery.payload == b'{"sku":"100-1"}'
    with pytest.raises(Unresolved):
        compiled.deliver(order(1, "o", "ITEM-2"), known)


def test_without_a_map_the_data_is_sent_or_the_whole_event() -> None:
    event = order(1, "o")
    plain = route().deliver(event, Crosswalk())
    whole = route(whole=True).deliver(event, Crosswalk())
    assert plain is not None
    assert whole is not None
    assert plain.payload.startswith(b'{"order"')
    assert b'"specversion":"1.0"' in whole.payload


def test_a_mapping_that_fails_names_its_field() -> None:
    with pytest.raises(ExpressionError, match=r"lines.*missing"):
        route(map={"lines": "data.missing"}).deliver(order(1, "o"), Crosswalk())


def test_targets_are_templates() -> None:
    compiled = route(
        target={"path": Template("orders/{data.order}"), "headers": {"X": Template("{event.id}")}}
    )
    delivery = compiled.deliver(order(7, "o-1"), Crosswalk())
    assert delivery is not None
    assert delivery.target == {"path": "orders/o-1", "headers": {"X": "000007"}}


def test_telemetry_is_not_held_in_order_unless_said() -> None:
    event = structs.replace(order(1, "o"), type=catalogue.full_name("telemetry.measurement.recorded"))
    assert route().key(event) != event.partitionkey
    assert route(order="key").key(event) == event.partitionkey
    assert route(order="none").key(order(1, "o")) != "o"


def test_a_test_interchange_is_answered_and_otherwise_not_delivered() -> None:
    event = structs.replace(order(1, "o"), extensions={"testindicator": True})
    assert route().deliver(event, Crosswalk()) is None
    answer = structs.replace(event, type=catalogue.full_name("integration.interchange.received"))
    assert route().deliver(answer, Crosswalk()) is not None


def test_idempotency_keys_depend_on_route_and_identity_only() -> None:
    event = order(1, "o")
    assert idempotency_key("a", event) == idempotency_key("a", structs.replace(event, data={}, time=None))
    assert idempotency_key("a", event) != idempotency_key("b", event)
    assert idempotency_key("a", event) != idempotency_key("a", order(2, "o"))
