"""CEL behind canonical.expression: what it gives, what it refuses and where, and that it never hangs."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from canonical.errors import PermanentError, TransientError, Unresolved
from canonical.expression import (
    MESSAGE_VARIABLES,
    ExpressionError,
    FieldMap,
    Template,
    bind,
    compile_expression,
)

VALUES: dict[str, Any] = {
    "event": {"id": "e-1", "type": "t", "time": "2026-03-31T10:00:00Z"},
    "data": {
        "order": "4711",
        "count": 5,
        "share": 0.5,
        "none": None,
        "lines": [{"item": "A", "qty": 1.5, "parts": [{"sku": "x"}]}, {"item": "B", "qty": 2, "parts": []}],
        "texts": ["0.1", "0.2"],
    },
}


def evaluate(source: str, values: dict[str, Any] = VALUES) -> Any:
    return compile_expression(source).evaluate(values)


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("data.order", "4711"),
        ("data.count + 1", 6),
        ("data.none", None),
        ("data.lines.map(l, l.item)", ["A", "B"]),
        ("{'a': data.lines[0].qty, 'b': [1, true]}", {"a": 1.5, "b": [1, True]}),
        ("{1: 'x', 2u: 'y'}", {"1": "x", "2": "y"}),
        ("{true: 'x'}", {"true": "x"}),
        ("timestamp(event.time)", "2026-03-31T10:00:00Z"),
        ("timestamp('2026-03-31T12:00:00.25+02:00')", "2026-03-31T10:00:00.25Z"),
        ("[timestamp(0)]", ["1970-01-01T00:00:00Z"]),
        ("duration('90s')", 90),
        ("duration('1.5s')", 1.5),
        ("b'abc'", "YWJj"),
        ("'ABC'.lowerAscii()", "abc"),
        ("math.greatest(1, 7)", 7),
        ("sum(data.lines.map(l, l.qty))", 3.5),
        ("local(event.time, 'Europe/Berlin')", "2026-03-31T12:00:00+02:00"),
        ("local('2026-01-31T12:00:00Z', 'Europe/Berlin')", "2026-01-31T13:00:00+01:00"),
        ("local(timestamp(event.time), 'America/Chicago')", "2026-03-31T05:00:00-05:00"),
        ("local('2026-03-31T23:30:00+02:00', 'UTC', '%d.%m.%Y %H:%M')", "31.03.2026 21:30"),
        ("local(timestamp(event.time), 'Asia/Kolkata', '%H%M')", "1530"),
        ("sum([1, 2])", 3),
        ("sum([])", 0),
        ("sum(data.texts)", "0.3"),
        ("sum(['0.0000001'])", "0.0000001"),
        ("decimal(data.texts[0])", 0.1),
        ("decimal(data.count)", 5.0),
        ("unit('1.5', 'KGM', 'GRM')", "1500"),
        ("unit(data.count, 'KGM', 'GRM')", 5000.0),
        ("unit(data.share, 'KGM', 'GRM')", 500.0),
    ],
)
def test_a_result_is_a_json_value(source: str, expected: object) -> None:
    value = evaluate(source)
    assert value == expected
    assert type(value) is type(expected)


def test_a_sum_of_decimal_texts_loses_no_digit() -> None:
    long = "1" * 40 + "." + "1" * 20
    assert evaluate("sum(data)", {"data": [long, "0." + "0" * 19 + "1"], "event": {}}) == long[:-1] + "2"


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("data.?order", "4711"),
        ("data.?missing", None),
        ("data.?missing.?deeper", None),
        ("data.?missing.orValue('d')", "d"),
        ("data.?missing // a comment at the end", None),
        ("{?'a': data.?order, ?'b': data.?missing}", {"a": "4711"}),
        ("[?data.?order, ?data.?missing]", ["4711"]),
        ("data.lines.map(l, {?'item': l.?item, ?'lot': l.?lot})", [{"item": "A"}, {"item": "B"}]),
        ("data.?order.optMap(o, o + '!')", "4711!"),
        ("data.lines.first().optMap(l, l.item).orValue('')", "A"),
    ],
)
def test_an_optional_gives_its_value_or_nothing(source: str, expected: object) -> None:
    assert evaluate(source) == expected


@pytest.mark.parametrize(
    "source",
    [
        "{'a': data.?order}",
        "{'a': data.?missing, 'b': 1}",
        "[data.?order]",
        "[[data.?order]]",
        "data.lines.map(l, {'lot': l.?lot, 'n': 1})",
        "dyn(data.?order)",
        "{'a': dyn(data.?order)}",
        "{'a': data.count > 1 ? data.?order : optional.none()}",
        "optional.of(optional.of(1))",
        "[data.lines.first()]",
    ],
)
def test_an_optional_inside_a_value_is_refused_and_does_not_crash(source: str) -> None:
    # cel-expr-python 0.1.3 dereferences a null pointer in plain_value() of a map that holds one.
    with pytest.raises(ExpressionError, match="optional value"):
        evaluate(source)


@pytest.mark.parametrize(
    ("source", "detail"),
    [
        ("data.missing", 'Key not found in map : "missing"'),
        ("data.order.deeper", "non-message type"),
        ("data.order > 5", "No matching overloads"),
        ("1 / 0", "divide by zero"),
        ("1.0 / 0.0", "inf, which JSON has no number for"),
        ("[0.0 / 0.0]", "nan, which JSON has no number for"),
        ("type(1)", "no JSON value"),
        ("lookup('item', 'erp', data.order)", "can be used in a route's map only"),
        ("unit('x', 'KGM', 'GRM')", "'x' is not a number"),
        ("unit('1', 'KGM', 'MTR')", "KGM does not convert to MTR"),
        ("sum([1, null])", "None is not a number"),
        ("sum(['1e300'])", "more than 64 digits"),
        ("sum(['NaN'])", "is not a number"),
        ("sum(['1_0'])", "is not a number"),
        ("decimal(true ? dyn('x') : dyn(1))", "'x' is not a number"),
        ("decimal(data.lines)", "No matching overloads"),
        ("data.lines[7]", "Index error: index=7"),
    ],
)
def test_a_failed_evaluation_says_why(source: str, detail: str) -> None:
    with pytest.raises(ExpressionError) as caught:
        evaluate(source)
    assert detail in caught.value.message
    assert caught.value.source == source
    assert caught.value.message.startswith(repr(source))
    assert "INVALID_ARGUMENT" not in caught.value.message


@pytest.mark.parametrize(
    ("source", "line", "column"),
    [
        ("data.x +", 1, 9),
        ("nope", 1, 1),
        ("data.x\n  + nope", 2, 5),
        ("'🦄ä' + nope", 1, 8),
        ("data.x;", 1, 7),
        ("", 1, 1),
        ("nofunction(1)", 1, 11),
        ("lookup('a')", 1, 7),
        ("(" * 40 + "1" + ")" * 40, 1, 1),
        ("1" + " + 1" * 100, 1, 1),
        ("a" * 100_001, 1, 1),
    ],
)
def test_a_compile_error_has_line_and_column(source: str, line: int, column: int) -> None:
    with pytest.raises(ExpressionError) as caught:
        compile_expression(source)
    assert (caught.value.line, caught.value.column) == (line, column)
    assert caught.value.message
    assert "ERROR:" not in caught.value.message
    assert isinstance(caught.value, PermanentError)


def test_the_same_text_is_compiled_once() -> None:
    assert compile_expression("data.order + '?'") is compile_expression("data.order + '?'")


def test_item_is_no_variable_of_routes() -> None:
    assert compile_expression("item", MESSAGE_VARIABLES).evaluate({"item": 3}) == 3
    with pytest.raises(ExpressionError, match="undeclared reference to 'item'"):
        compile_expression("item")


# ── conditions ──────────────────────────────────────────────────────────────────────────────────


def test_a_condition_holds_or_not() -> None:
    assert compile_expression("data.lines.exists(l, l.qty > 1.6)").holds(VALUES) is True
    assert compile_expression("has(data.missing)").holds(VALUES) is False


@pytest.mark.parametrize(
    "source", ["data.count", "data.order", "data.none", "'true'", "data.?missing", "[true]"]
)
def test_a_condition_must_be_a_boolean(source: str) -> None:
    with pytest.raises(ExpressionError, match="must give true or false"):
        compile_expression(source).holds(VALUES)


# ── lookups: errors that C++ would turn into text ───────────────────────────────────────────────

LOOKUP = compile_expression("'erp:' + lookup('item', 'erp', data.order)")


def test_a_lookup_translates() -> None:
    assert (
        LOOKUP.evaluate(VALUES, lambda domain, system, value: f"{domain}/{system}/{value}")
        == "erp:item/erp/4711"
    )


@pytest.mark.parametrize(
    "error", [Unresolved(domain="item", system="erp", value="4711"), TransientError("the store is away")]
)
def test_an_error_of_ours_in_a_lookup_arrives_as_it_was_raised(error: Exception) -> None:
    def fail(*_: str) -> str:
        raise error

    with pytest.raises(type(error)) as caught:
        LOOKUP.evaluate(VALUES, fail)
    assert caught.value is error


def test_an_interrupt_in_a_lookup_passes() -> None:
    def interrupt(*_: str) -> str:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        LOOKUP.evaluate(VALUES, interrupt)


def test_the_first_of_several_errors_counts() -> None:
    def fail(domain: str, system: str, value: str) -> str:
        raise Unresolved(domain=domain, system=system, value=value)

    source = compile_expression("data.lines.map(l, lookup('item', 'erp', l.item))")
    with pytest.raises(Unresolved) as caught:
        source.evaluate(VALUES, fail)
    assert caught.value.value == "A"


def test_an_error_that_short_circuiting_absorbs_is_none() -> None:
    def fail(*_: str) -> str:
        raise Unresolved(domain="item", system="erp", value="x")

    for source in (
        "true || lookup('a', 'b', 'c') == ''",
        "lookup('a', 'b', 'c') == '' || true",
        "unit('x', 'a', 'b') == '' || true",
    ):
        assert compile_expression(source).evaluate(VALUES, fail) is True


def test_another_exception_in_a_lookup_is_an_expression_error() -> None:
    def fail(*_: str) -> str:
        raise KeyError("row")

    with pytest.raises(ExpressionError, match="row") as caught:
        LOOKUP.evaluate(VALUES, fail)
    assert isinstance(caught.value.__cause__, KeyError)


def test_an_error_does_not_leak_into_the_next_evaluation() -> None:
    def fail(*_: str) -> str:
        raise Unresolved(domain="item", system="erp", value="x")

    with pytest.raises(Unresolved):
        LOOKUP.evaluate(VALUES, fail)
    with pytest.raises(ExpressionError):
        compile_expression("sum([1, null])").evaluate(VALUES)
    assert evaluate("sum([1])") == 1


def test_a_lookup_may_evaluate_expressions_itself() -> None:
    inner = compile_expression("lookup('x', 'y', 'z')")

    def outer(domain: str, system: str, value: str) -> str:
        return str(inner.evaluate(VALUES, lambda *_: "inner"))

    source = compile_expression("lookup('a', 'b', 'c') + lookup('a', 'b', 'd')")
    assert source.evaluate(VALUES, outer) == "innerinner"


def test_threads_do_not_see_each_others_lookups() -> None:
    wrong: list[object] = []
    start = threading.Barrier(4)

    def work(name: str) -> None:
        def lookup(*_: str) -> str:
            if name.endswith("fails"):
                raise Unresolved(domain=name, system="", value="")
            return name

        start.wait(timeout=10)
        for _ in range(300):
            try:
                found: object = LOOKUP.evaluate(VALUES, lookup)
            except Unresolved as error:
                found = f"erp:{error.domain}"
            if found != f"erp:{name}":
                wrong.append(found)

    threads = [threading.Thread(target=work, args=(name,)) for name in ("a", "b", "c-fails", "d-fails")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=30)
    assert not any(thread.is_alive() for thread in threads)
    assert wrong == []


# ── bounds ──────────────────────────────────────────────────────────────────────────────────────

TEN = "[1, 2, 3, 4, 5, 6, 7, 8, 9, 10]"


@pytest.mark.parametrize(
    "source",
    [
        f"{TEN}.map(a, {TEN}.map(b, {TEN}.map(c, {TEN}.map(d, {TEN}.map(e, {TEN}.map(f, a + f))))))",
        "data.map(a, data.map(b, a * b)).size() > 0",
        "data.all(a, data.all(b, data.all(c, a + b + c > -1)))",
    ],
)
def test_an_iteration_bomb_ends_quickly(source: str) -> None:
    started = time.monotonic()
    with pytest.raises(ExpressionError, match="Iteration budget exceeded"):
        evaluate(source, {"data": list(range(1000)), "event": {}})
    assert time.monotonic() - started < 60


def test_a_pattern_that_others_backtrack_on_ends_quickly() -> None:
    started = time.monotonic()
    assert evaluate("data.matches('(a+)+$')", {"data": "a" * 5000 + "b", "event": {}}) is False
    assert time.monotonic() - started < 60


@pytest.mark.parametrize("value", [2**64, -(2**63) - 1, "\ud800", object(), (1,), float("nan")])
def test_a_value_that_cel_cannot_hold_is_an_error_not_a_crash(value: object) -> None:
    with pytest.raises(ExpressionError):
        evaluate("data", {"data": value, "event": {}})


@pytest.mark.parametrize("data", ["a\0b", {"a\0b": 1}, [{"a": "\0"}]])
def test_text_that_the_binding_would_cut_short_is_refused(data: object) -> None:
    with pytest.raises(ExpressionError, match=r"U\+0000"):
        evaluate("[1]", {"data": data, "event": {}})
    with pytest.raises(ExpressionError, match=r"U\+0000"):
        FieldMap({"a": "[1]"}).apply({"data": data, "event": {}})
    assert evaluate("data", {"data": r"a\u0000b", "event": {}}) == r"a\u0000b"


def test_nesting_as_deep_as_decoders_allow_is_fine() -> None:
    deep: Any = 1
    for _ in range(200):
        deep = [deep]
    assert evaluate("data", {"data": deep, "event": {}}) == deep
    for _ in range(50_000):
        deep = [deep]
    with pytest.raises(ExpressionError, match="nest too deeply"):
        evaluate("[1]", {"data": deep, "event": {}})
    endless: list[Any] = []
    endless.append({"a": endless})
    with pytest.raises(ExpressionError, match="nest too deeply"):
        evaluate("[1]", {"data": endless, "event": {}})


texts = st.text(st.characters(exclude_characters="\0", codec="utf-8"))
json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=20,
)


@given(json_values)
def test_json_values_pass_unchanged(value: object) -> None:
    found = evaluate("data", {"data": value, "event": {}})
    assert found == value
    assert repr(evaluate("[data][0]", {"data": value, "event": {}})) == repr(found)


def refusal(attempt: Callable[[], object]) -> ExpressionError | None:
    """The error that an attempt ends with, if it does; any other exception fails the test."""
    try:
        attempt()
    except ExpressionError as error:
        return error
    return None


@given(st.text(alphabet="data.evnt()[]{}'\"?:+-*/<>=!&| 0123,_\\\n", max_size=30))
def test_any_text_compiles_or_is_refused_with_a_place(source: str) -> None:
    error = refusal(lambda: compile_expression(source))
    if error:
        assert error.line >= 1
        assert error.column >= 1
    else:
        expression = compile_expression(source)
        assert all(0 <= reference.offset <= len(source) for reference in expression.references)
        refusal(lambda: expression.evaluate(VALUES))


@given(st.text(max_size=12))
def test_any_unicode_compiles_or_is_refused(source: str) -> None:
    error = refusal(lambda: compile_expression(source))
    assert error is None or error.message


def test_bound_values_serve_many_expressions() -> None:
    bound = bind(VALUES)
    assert [
        compile_expression(s).evaluate(bound) for s in ("data.count", "data.order", "data.lines[1].item")
    ] == [
        5,
        "4711",
        "B",
    ]
    with pytest.raises(ExpressionError):
        compile_expression("data.missing").evaluate(bound)
    assert compile_expression("data.count").evaluate(bound) == 5
    assert bind(bound) is bound


# ── field maps ──────────────────────────────────────────────────────────────────────────────────


def test_a_field_map_nests_and_keeps_constants() -> None:
    fields = FieldMap(
        {"a": "data.order", "b": {"c": "1 + 1", "d": [{"e": "data.count"}, 7]}, "f": 5, "g": None}
    )
    assert fields.apply(VALUES) == {"a": "4711", "b": {"c": 2, "d": [{"e": 5}, 7]}, "f": 5, "g": None}


def test_a_field_map_can_leave_null_out() -> None:
    fields = {"a": "data.none", "b": {"c": "data.?missing", "d": "1"}, "e": None}
    assert FieldMap(fields, drop_null=True).apply(VALUES) == {"b": {"d": 1}}
    assert FieldMap(fields).apply(VALUES) == {"a": None, "b": {"c": None, "d": 1}, "e": None}


@pytest.mark.parametrize(
    ("fields", "place"),
    [
        ({"a": "data.missing"}, "a: "),
        ({"a": {"b": [{"c": "1"}, {"c": "data.missing"}]}}, "a.b[1].c: "),
        ({"a": ["1", "data.missing"]}, "a[1]: "),
    ],
)
def test_a_failing_field_is_named(fields: dict[str, Any], place: str) -> None:
    with pytest.raises(ExpressionError) as caught:
        FieldMap(fields).apply(VALUES)
    assert caught.value.message.startswith(place)


def test_a_field_that_does_not_compile_is_named() -> None:
    with pytest.raises(ExpressionError) as caught:
        FieldMap({"a": {"b": [{"c": "data.x + nope"}]}})
    assert caught.value.message == "a.b[0].c: undeclared reference to 'nope'"
    assert (caught.value.line, caught.value.column) == (1, 10)


def test_an_unresolved_code_passes_a_field_map_untouched() -> None:
    def fail(*_: str) -> str:
        raise Unresolved(domain="item", system="erp", value="x")

    with pytest.raises(Unresolved):
        FieldMap({"a": {"b": "lookup('item', 'erp', 'x')"}}).apply(VALUES, fail)


# ── templates ───────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("orders/{data.order}/{event.id}", "orders/4711/e-1"),
        ("plain", "plain"),
        ("", ""),
        ("{{{data.order}}}", "{4711}"),
        ("{data.count}-{data.count > 1}-{data.share}", "5-true-0.5"),
        ("{'}' + event.id}", "}e-1"),
        ('{"{" + event.id}', "{e-1"),
        ("{ {'a': {'b': 'c'}}.a.b }", "c"),
        (r"{'\'}' + event.id}", "'}e-1"),
        ("{timestamp(event.time)}", "2026-03-31T10:00:00Z"),
        ("{data.?missing.orValue('x')}", "x"),
    ],
)
def test_a_template_expands(source: str, expected: str) -> None:
    assert Template(source).expand(VALUES) == expected


@pytest.mark.parametrize(
    ("source", "column", "detail"),
    [
        ("a/{data.order", 3, "never closed"),
        ("a}b", 2, "closes nothing"),
        ("a/{ }", 4, "nothing is between"),
        ("{}", 2, "nothing is between"),
        ("ab{event.id + nope}", 15, "undeclared reference"),
        ("{event.id}/{data.}", 18, "Syntax error"),
    ],
)
def test_a_broken_template_says_where(source: str, column: int, detail: str) -> None:
    with pytest.raises(ExpressionError) as caught:
        Template(source)
    assert detail in caught.value.message
    assert caught.value.column == column


@pytest.mark.parametrize(
    "source", ["{data.none}", "{''}", "{data.lines}", "{data}", "{data.missing}", "{data.?zz}"]
)
def test_a_template_with_an_empty_part_is_refused(source: str) -> None:
    with pytest.raises(ExpressionError):
        Template(f"orders/{source}").expand(VALUES)


def test_a_template_shows_its_expressions() -> None:
    assert [part.source for part in Template("a/{data.order}/{event.id}").expressions] == [
        "data.order",
        "event.id",
    ]


@given(st.text(alphabet="ab{}'\"\\ .1", max_size=20))
def test_any_template_expands_or_is_refused(source: str) -> None:
    error = refusal(lambda: Template(source, ("a",)))
    if error:
        assert 1 <= error.column <= len(source) + 2
    else:
        refusal(lambda: Template(source, ("a",)).expand({"a": {"b": "x"}}))


# ── what an expression reads ────────────────────────────────────────────────────────────────────


def paths(source: str) -> list[str]:
    return [
        f"{reference.path}?" if reference.optional else reference.path
        for reference in compile_expression(source).references
    ]


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("1 + 1", []),
        ("data", ["data"]),
        ("data.a.b.c", ["data.a.b.c"]),
        ("event.data.x", ["event.data.x"]),
        ("data['a'][\"b\"].c", ["data.a.b.c"]),
        ("data.lines[0].item", ["data.lines[].item"]),
        ("data[event.subject]", ["data", "event.subject"]),
        ("event['x-y.z']", ['event["x-y.z"]']),
        ("{'k': data.v, data.k: [data.w]}", ["data.v", "data.k", "data.w"]),
        ("has(data.m) ? data.m : data.n", ["data.m?", "data.m", "data.n"]),
        ("data.?x.?y.z.orValue(data.w)", ["data.x.y.z?", "data.w"]),
        ("data[?'x'].hasValue()", ["data.x?"]),
        ("data.x.startsWith(event.type)", ["data.x", "event.type"]),
        ("(data.a > 1 ? data.b : data.c).d", ["data.a", "data.b", "data.c"]),
        ("data.lines.exists(l, l.qty > data.min)", ["data.lines", "data.lines[].qty", "data.min"]),
        ("data.lines.all(l, has(l.lot))", ["data.lines", "data.lines[].lot?"]),
        (
            "data.lines.map(l, l.parts.map(p, p.sku + l.item + data.order))",
            [
                "data.lines",
                "data.lines[].parts",
                "data.lines[].parts[].sku",
                "data.lines[].item",
                "data.order",
            ],
        ),
        (
            "data.lines.filter(l, l.qty > 1).map(m, m.item)",
            ["data.lines", "data.lines[].qty", "data.lines[]", "data.lines[].item"],
        ),
        (
            "data.lines.map(l, l.parts).exists(p, p.size() > 0)",
            ["data.lines", "data.lines[].parts", "data.lines[].parts"],
        ),
        (
            "data.lines.map(l, l.qty > 0, l.item)",
            ["data.lines", "data.lines[].qty", "data.lines[].item"],
        ),
        ("data.?lines.orValue([]).map(l, l.item)", ["data.lines?", "data.lines[].item?"]),
        ("[data.a, data.b].map(x, x.y)", ["data.a", "data.b"]),
        ("data.lines.map(data, data.item)", ["data.lines", "data.lines[].item"]),
    ],
)
def test_references_are_the_paths_read(source: str, expected: list[str]) -> None:
    assert paths(source) == expected


def test_the_variable_of_an_optional_map_stands_for_its_path() -> None:
    assert "data.x.y?" in paths("data.?x.optMap(v, v.y)")


def test_references_tell_where_they_stand() -> None:
    source = "'ä' + data.order\n + data.item"
    assert [source[reference.offset :][:5] for reference in compile_expression(source).references] == [
        ".orde",
        ".item",
    ]


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("local(event.time, 'Europe/Berlyn')", "'Europe/Berlyn' is not an IANA time zone"),
        ("local('2026-03-31T10:00:00', 'UTC')", "says no zone of its own"),
        ("local('yesterday', 'UTC')", "Invalid isoformat"),
    ],
)
def test_a_time_that_cannot_be_placed_is_told(source: str, words: str) -> None:
    with pytest.raises(ExpressionError, match=words):
        evaluate(source)
