"""Fields evaluated in one loop are what each gives for itself."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from canonical.event import Event
from canonical.expression import ExpressionError, FieldMap, compile_expression
from canonical.shortcut import UNKNOWN
from tests.canonical.test_shortcut import data

FIELDS: dict[str, Any] = {
    "a": "data.a",
    "plant": "event.plantid",
    "deep": "data.b.a",
    "test": "data.a == 'x'",
    "constant": 7,
    "nested": {"a": "data.a", "b": "data.b"},
    "list": ["data.a", "data.c"],
}


def event_of(data: Any) -> Event:
    return Event(id="1", source="/s", type="t", plantid="brno", data=data)


@given(data=data, name=st.sampled_from(sorted(FIELDS)), drop=st.booleans())
def test_a_field_is_what_its_expression_gives_or_left_to_it(data: Any, name: str, drop: bool) -> None:
    fields = FieldMap({name: FIELDS[name]}, drop_null=drop)
    assert fields.quick is not None
    values = {"event": event_of(data), "data": data}
    found = fields.quick(values)
    if found is UNKNOWN:
        return
    assert repr(found) == repr(_alone(FIELDS[name], values, name, drop=drop))


def _alone(node: Any, values: dict[str, Any], name: str, *, drop: bool) -> dict[str, Any]:
    value = _value(node, values, drop=drop)
    return {} if value is None and drop else {name: value}


def _value(node: Any, values: dict[str, Any], *, drop: bool) -> Any:
    match node:
        case str():
            return compile_expression(node).evaluate(values)
        case list():
            return [_value(entry, values, drop=drop) for entry in node]
        case dict():
            found = {name: _value(entry, values, drop=drop) for name, entry in node.items()}
            return {name: value for name, value in found.items() if value is not None or not drop}
        case _:
            return node


@given(data=data)
def test_a_map_gives_the_same_whichever_way(data: Any) -> None:
    values = {"event": event_of(data), "data": data}
    quick, slow = FieldMap(FIELDS), FieldMap(FIELDS)
    slow.quick = None
    assert repr(_told(quick, values)) == repr(_told(slow, values))


def _told(fields: FieldMap, values: dict[str, Any]) -> Any:
    try:
        return fields.apply(values)
    except ExpressionError as error:
        return error.message


def test_a_field_that_only_cel_can_evaluate_leaves_all_to_it() -> None:
    assert FieldMap({"a": "data.a", "n": "data.lines.map(x, x.n)"}).quick is None
