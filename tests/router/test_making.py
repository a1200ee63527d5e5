"""What is made of a run is what ``Route.deliver`` makes of each event."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from canonical.errors import PermanentError
from canonical.event import Event
from canonical.expression import Template
from canonical.ports import Recorded
from router.crosswalk import Crosswalk, Row
from router.idempotency import idempotency_key
from router.making import Maker
from router.routes import TEST, Codes, Route
from tests.router.rig import ITEMS, SOURCE, order, route

KNOWN = Crosswalk([Row(domain="item", system="mes", value="A-1", canonical="ITEM-1")])
ROUTES = {
    "as it is": route(),
    "mapped": route(map={"o": "data.order", "p": "event.plantid", "n": {"x": "data.item"}, "c": 7}),
    "by a condition": route(when="data.item == 'A-1'", map={"item": "data.item"}),
    "by no condition at all": route(when="data.number"),
    "by another text": route(when="data.item != 'A-1'", map={"item": "data.item"}),
    "by CEL": route(when="data.item.matches('A.*')", map={"size": "string(data.number)"}),
    "translated": route(inbound={SOURCE: ITEMS}, when="data.item == 'ITEM-1'"),
    "outbound": route(outbound=Codes(system="mes", fields=("data.item",))),
    "whole": route(whole=True),
    "templated": route(target={"topic": Template("orders/{data.order}"), "headers": {"a": "b"}}),
    "constant": route(target={"routing_key": "q", "headers": {"a": 1}}),
    "unordered": route(order="none"),
}
values = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3) | st.just("A-1")
data = st.fixed_dictionaries({}, optional={"order": values, "item": values, "number": values})


def one_by_one(compiled: Route, event: Event) -> Any:
    """The delivery, None, or the kind and text of the error."""
    try:
        return compiled.deliver(event, KNOWN)
    except PermanentError as error:
        return type(error), error.message


def by_the_run(compiled: Route, event: Event) -> Any:
    made = Maker(compiled).make([Recorded(1, event)], KNOWN)
    if made.error is not None:
        return type(made.error), made.error.message
    return made.deliveries[0] if made.deliveries else None


@pytest.mark.parametrize("name", ROUTES)
@given(data=data, test=st.booleans(), key=st.none() | st.just("k"))
def test_a_run_gives_what_each_event_gives(
    name: str, data: dict[str, Any], test: bool, key: str | None
) -> None:
    event = structs.replace(
        order(1, "o"), data=data, partitionkey=key, extensions={TEST: True} if test else {}
    )
    compiled = ROUTES[name]
    assert by_the_run(compiled, event) == one_by_one(compiled, event)


@pytest.mark.parametrize("name", ROUTES)
@given(many=st.lists(data | st.just({"order": "o-1", "item": "A-1", "number": 7}), min_size=4, max_size=6))
def test_a_run_of_many_gives_what_each_event_gives(name: str, many: list[dict[str, Any]]) -> None:
    events = [structs.replace(order(n, "o"), data=each) for n, each in enumerate(many, start=1)]
    compiled = ROUTES[name]
    made = Maker(compiled).make([Recorded(n, event) for n, event in enumerate(events, start=1)], KNOWN)
    alone = [one_by_one(compiled, event) for event in events]
    failed = next((at for at, found in enumerate(alone) if isinstance(found, tuple)), None)
    wanted = [(n, found) for n, found in enumerate(alone[:failed], start=1) if found is not None]
    assert [
        (item.position, found) for item, found in zip(made.recorded, made.deliveries, strict=True)
    ] == wanted
    assert made.looked == (len(events) if failed is None else failed + 1)
    assert (made.error is None) is (failed is None)


def test_a_run_ends_where_nothing_can_be_made_of_an_event() -> None:
    events = [Recorded(n, order(n, "o", "A-1" if n != 3 else "NEW")) for n in range(1, 6)]
    made = Maker(route(inbound={SOURCE: ITEMS})).make(events, KNOWN)
    assert [item.position for item in made.recorded] == [1, 2]
    assert (made.looked, type(made.error).__name__) == (3, "Unresolved")


def test_what_is_excluded_is_looked_at_and_not_made() -> None:
    events = [Recorded(n, order(n, "o", "A-1" if n % 2 else "B-2")) for n in range(1, 6)]
    made = Maker(ROUTES["by a condition"]).make(events, KNOWN)
    assert [item.position for item in made.recorded] == [1, 3, 5]
    assert (made.looked, made.error) == (5, None)
    assert [delivery.payload for delivery in made.deliveries] == [b'{"item":"A-1"}'] * 3


def test_idempotency_keys_are_those_of_earlier_versions() -> None:
    event = structs.replace(order(1, "o"), source="/plants/brno/adapters/floor", id="01J0000000123")
    assert idempotency_key("readings", event) == "readings:49bb848d3b84c52cb999fdfe8f"
    [delivery] = Maker(route(name="readings")).make([Recorded(1, event)], KNOWN).deliveries
    assert delivery.idempotency_key == "readings:49bb848d3b84c52cb999fdfe8f"
