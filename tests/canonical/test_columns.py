"""Fields of many events as columns are those of each event, or left to the usual way."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from canonical.columns import hold
from canonical.event import Event
from canonical.expression import ExpressionError, FieldMap, compile_expression
from tests.canonical.test_shortcut import data

FIELDS: dict[str, Any] = {
    "a": "data.a",
    "plant": "event.plantid",
    "subject": "event.subject",
    "constant": 7,
    "none": None,
    'a "name"': "data.b",
    "two words": "data.c",
}


def event_of(data: Any, subject: str | None = None) -> Event:
    return Event(id="1", source="/s", type="t", plantid="brno", subject=subject, data=data)


@given(
    datas=st.lists(data, min_size=1, max_size=4),
    names=st.sets(st.sampled_from(sorted(FIELDS)), min_size=1),
    subjects=st.lists(st.none() | st.text(max_size=3), min_size=4, max_size=4),
    drop=st.booleans(),
)
@example(datas=[{"a": "x"}, {"a": "ü"}], names={"a", "plant"}, subjects=["s"] * 4, drop=False)
@example(datas=[{"a": "\ud800"}, {"a": "\udc00"}], names={"a"}, subjects=["s"] * 4, drop=False)
@example(datas=[{"a": 1}, {"a": 2**63}], names={"a"}, subjects=["s"] * 4, drop=False)
@example(datas=[{"a": 1.5}, {"a": float("nan")}], names={"a"}, subjects=["s"] * 4, drop=False)
@example(datas=[{"a": True}, {"a": 1}], names={"a"}, subjects=["s"] * 4, drop=False)
@example(datas=[{"a": None}, {"a": 1}], names={"a"}, subjects=["s"] * 4, drop=True)
def test_columns_give_what_each_event_gives(
    datas: list[Any], names: set[str], subjects: list[str | None], *, drop: bool
) -> None:
    fields = FieldMap({name: FIELDS[name] for name in sorted(names)}, drop_null=drop)
    events = [event_of(data, subject) for data, subject in zip(datas, subjects, strict=False)]
    found = fields.rows(events) if fields.rows is not None else None
    if found is None:
        return
    assert [msgspec.json.encode(row) for row in found] == [_alone(fields, event) for event in events]


def _alone(fields: FieldMap, event: Event) -> Any:
    try:
        return msgspec.json.encode(fields.apply({"event": event, "data": event.data}))
    except ExpressionError as error:
        return error.message


@given(datas=st.lists(data, min_size=1, max_size=4), condition=st.sampled_from(["==", "!="]))
@example(datas=[{"a": "x"}, {"a": "ü"}], condition="!=")
@example(datas=[{"a": "x"}, {"a": "\ud800"}], condition="==")
def test_a_condition_holds_for_those_for_which_it_does(datas: list[Any], condition: str) -> None:
    expression = compile_expression(f"data.a {condition} 'x'")
    assert expression.equality is not None
    found = hold(expression.equality, [event_of(data) for data in datas])
    if found is not None:
        assert found == [expression.holds({"event": event_of(data), "data": data}) for data in datas]


@pytest.mark.parametrize("source", ["data.a == 'x' && data.b == 'y'", "event.subject == 'x'", "data.a == 7"])
def test_what_is_more_than_an_equality_is_asked_of_each(source: str) -> None:
    assert compile_expression(source).equality is None


def test_the_usual_map_is_one_of_columns() -> None:
    fields = FieldMap({"tag": "data.tag", "plant": "event.plantid", "uom": 7, "ok": "data.ok"})
    assert fields.rows is not None
    found = fields.rows([event_of({"tag": tag, "ok": ok}) for tag, ok in [("t-1", True), ("ö", None)]])
    assert found is not None
    assert [msgspec.json.encode(row) for row in found] == [
        b'{"tag":"t-1","plant":"brno","uom":7,"ok":true}',
        '{"tag":"ö","plant":"brno","uom":7,"ok":null}'.encode(),
    ]


@pytest.mark.parametrize(
    "node",
    ["data.a.b", "data.a == 'x'", "event.time", "event", {"a": "data.a"}, ["data.a"], float("inf"), 2**63],
)
def test_what_is_more_than_a_path_is_no_column(node: Any) -> None:
    assert FieldMap({"field": node}).rows is None
