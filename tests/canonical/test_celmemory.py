"""That evaluating for weeks neither ends the process nor fills its memory.

cel-expr-python 0.1.3 by itself does both: a null costs a reference to None, and a call of a built-in
keeps its arguments.
"""

from __future__ import annotations

import gc
import resource
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from canonical.errors import Unresolved
from canonical.expression import ExpressionError, compile_expression

VALUES: dict[str, Any] = {
    "event": {},
    "data": {
        "nothing": None,
        "numbers": [float(number) for number in range(100)],
        "whole": [1000, 2000],
        "text": "x" * 200,
        "lines": [{"item": "A" * 100, "qty": 1.5, "lot": None}] * 3,
    },
}


def memory_bytes() -> int:
    gc.collect()
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


def evaluate_often(source: str) -> None:
    expression = compile_expression(source)

    def lookup(domain: str, system: str, value: str) -> str:
        if domain == "fails":
            raise Unresolved(domain=domain, system=system, value=value)
        return value + "-code"

    for _ in range(2500):
        try:
            expression.evaluate(VALUES, lookup)
        except (ExpressionError, Unresolved):
            continue


@pytest.mark.parametrize(
    "source",
    [
        "data",
        "data.lines.map(l, {?'lot': l.?lot, 'n': null})",
        "data.nope",
        "sum(data.numbers)",
        "sum(data.whole)",
        "sum(data.lines.map(l, l.qty))",
        "decimal('1.25')",
        "unit(data.whole[0], 'KGM', 'GRM')",
        "unit('1.5', 'KGM', 'GRM')",
        "lookup('item', 'erp', data.text)",
        "data.lines.map(l, lookup('item', 'erp', l.item))",
    ],
)
def test_evaluating_keeps_no_memory(source: str) -> None:
    evaluate_often(source)
    before = memory_bytes()
    evaluate_often(source)
    assert memory_bytes() - before < 150_000  # 50 bytes a round; the binding by itself keeps 120 to 2400


@pytest.mark.parametrize(
    "source", ["data.nothing", "[null, data.nothing]", "data.lines", "{'a': data.?nothing}"]
)
def test_nulls_do_not_end_the_process(source: str) -> None:
    code = f"""
from canonical.expression import ExpressionError, compile_expression
expression = compile_expression({source!r})
values = {VALUES!r}
for _ in range(25_000):
    try:
        expression.evaluate(values)
    except ExpressionError:
        pass
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=100, check=False
    )
    assert done.returncode == 0, done.stderr[-500:]


def test_results_of_built_ins_stay_alive() -> None:
    expressions = [
        compile_expression(source)
        for source in (
            "lookup('a', 'b', data.text)",
            "unit('1.5', 'KGM', 'GRM')",
            "sum(data.whole)",
            "sum(data.numbers)",
        )
    ]
    kept = [
        [expression.evaluate(VALUES, lambda *_: "the same" * 3) for expression in expressions]
        for _ in range(2000)
    ]
    gc.collect()
    assert all(row == ["the same" * 3, "1500", 3000, 4950.0] for row in kept)


def test_a_traceback_that_is_kept_stays_whole() -> None:
    kept: list[KeyError] = []

    def lookup(*values: str) -> str:
        try:
            raise KeyError(values)
        except KeyError as error:
            kept.append(error)
        return values[-1] + "!"

    expression = compile_expression("lookup('item', 'erp', data.text)")
    for _ in range(200):
        assert expression.evaluate(VALUES, lookup) == VALUES["data"]["text"] + "!"
    gc.collect()
    for error in kept:
        frame = error.__traceback__.tb_frame if error.__traceback__ else None
        while frame is not None:
            repr(frame.f_locals.get("arguments"))
            frame = frame.f_back
    assert {error.args[0] for error in kept} == {("item", "erp", VALUES["data"]["text"])}
