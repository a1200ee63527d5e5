"""Shortcuts give what CEL gives, or leave it to CEL."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from canonical.event import Event, to_json
from canonical.expression import ExpressionError, compile_expression
from canonical.shortcut import UNKNOWN

SOURCES = (
    "data.a",
    "data.a.b",
    "data.b.c.a",
    "'text'",
    "-7",
    "-1.5",
    "null",
    "true",
    "data.a == 'x'",
    "data.a != 'x'",
    "data.a == data.b",
    "data.a != data.b.c",
    "data.a == 1",
    "data.a == 1.0",
    "data.a == null",
    "data.a < data.b",
    "data.a <= 'x'",
    "data.a > 0",
    "data.a >= 0.5",
    "data.a == 'x' && data.b == 'y'",
    "data.a == 'x' || data.b == 'y'",
    "data.a && data.b",
    "data.a || data.b",
    "!data.a",
    "!(data.a == data.b)",
    "has(data.a)",
    "has(data.a.b)",
    "!has(data.a) || data.a == 'x'",
    "has(data.a) && data.a.b == 'x'",
    "data.a ? 'yes' : data.b",
    "has(data.a) ? data.a : 'none'",
    "data.a + data.b",
    "'n-' + data.a",
    "data.a in ['x', 'y', '']",
    "!(data.a in ['x'])",
    "data.a in ['x', 1]",
    "data.a in []",
    "data.a in data.b",
    "size(data.a)",
    "data.a.size() > 0",
    "data.a.startsWith('x')",
    "data.a.endsWith(data.b)",
    "data.a.contains('')",
    "event.a == data.a",
)

scalars = (
    st.none()
    | st.booleans()
    | st.sampled_from(["x", "y", "", "x\0", "ä", "\U0001f600", "\ud800"])
    | st.text(max_size=3)
    | st.sampled_from([0, 1, -1, 2**53, 2**53 + 1, 2**62, 2**63 - 1, 2**63, -(2**63), 2**70])
    | st.sampled_from([0.0, -0.0, 0.5, 1.0, 1e308, float("inf"), float("nan"), float(2**53)])
)
data = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
    max_leaves=6,
)


def _told(value: object) -> tuple[str, str]:
    """A value with its type, so that 1, 1.0 and true differ, and -0.0 from 0.0."""
    return type(value).__name__, repr(value)


@pytest.mark.parametrize("source", SOURCES)
def test_every_source_has_a_shortcut(source: str) -> None:
    simple = source not in {"data.a in ['x', 1]", "data.a in []", "data.a in data.b"}
    assert (compile_expression(source).shortcut is not None) is simple


@given(st.dictionaries(st.sampled_from("abc"), data, max_size=3), st.sampled_from(SOURCES))
@example({"a": "x", "b": "x"}, "data.a + data.b")
@example({"a": 2**62, "b": 2**62}, "data.a + data.b")
@example({"a": 1e308, "b": 1e308}, "data.a + data.b")
@example({"a": 2**53 + 1, "b": float(2**53)}, "data.a == data.b")
def test_a_shortcut_gives_what_cel_gives(found: dict[str, Any], source: str) -> None:
    expression = compile_expression(source)
    values = {"event": {"a": "x"}, "data": found}
    if expression.shortcut is None or (value := expression.shortcut(values)) is UNKNOWN:
        return
    try:
        by_cel = expression.by_cel(values)
    except ExpressionError:
        # CEL refuses the whole event for a text that its binding cannot hold, read or not.
        if _holdable(found):
            raise
        return
    assert _told(value) == _told(by_cel)


def _holdable(value: object) -> bool:
    """Whether CEL's binding takes it."""
    match value:
        case dict():
            return all(_holdable(entry) for entry in value.values())
        case list():
            return all(map(_holdable, value))
        case str():
            return "\0" not in value and _encodes(value)
        case bool() | None:
            return True
        case int():
            return -(2**63) <= value < 2**63
        case _:
            return True


def _encodes(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


@pytest.mark.parametrize(
    "source",
    [
        *("event.id", "event.plantid", "event.subject", "event.data.a", "event.data.a.b", "event.time"),
        *("event.extra", "event.specversion", "event.subject == 'x'", "has(event.subject)", "event"),
    ],
)
@given(subject=st.none() | st.text(min_size=1, max_size=2), body=data)
def test_an_event_reads_as_its_json_does(source: str, subject: str | None, body: Any) -> None:
    assume(_holdable(subject) and _holdable(body))
    expression = compile_expression(source)
    event = Event(id="e-1", source="/s", type="t", subject=subject, data=body, extensions={"extra": "x"})

    def outcome(seen: object) -> object:
        try:
            return expression.evaluate({"event": seen, "data": body})
        except ExpressionError as error:
            return error.message

    found, wanted = outcome(event), outcome(to_json(event))
    assert (type(found), found) == (type(wanted), wanted)


@pytest.mark.parametrize(
    "source",
    [
        "data.lines.map(l, l.item)",
        "timestamp(event.time)",
        "sum([1, 2])",
        "data.?a.orValue('x')",
        "[data.a]",
        "{'a': data.a}",
        "data['a']",
        "b'abc'",
        "1u",
    ],
)
def test_what_is_not_simple_is_left_to_cel(source: str) -> None:
    assert compile_expression(source).shortcut is None


def test_a_condition_that_is_no_boolean_is_refused_by_a_shortcut_too() -> None:
    with pytest.raises(ExpressionError, match="must give true or false"):
        compile_expression("data.a").holds({"event": {}, "data": {"a": "x"}})


def test_an_error_is_cels_own() -> None:
    with pytest.raises(ExpressionError, match="Key not found"):
        compile_expression("data.missing == 'x'").evaluate({"event": {}, "data": {}})
