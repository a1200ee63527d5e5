"""Whatever is written, ``check`` answers with findings at places, and never falls over."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from config.load import check
from tests.config.conftest import HEAD
from tests.config.kinds import install

WHOLE = (
    HEAD
    + """\
gateway: {bind: 127.0.0.1, port: 8080}
journal: {retain: 30d}
partners: {p: {ids: [{qualifier: "14", id: "4012345000009"}]}}
service_levels: {s: {domain: sales, latency: 1s}}
crosswalks: [rows.csv]
tests: [{name: n, send: {adapter: line1, body: {}}, expect: {deliveries: [{route: done}]}}]
"""
)
TEXTS = ["", "x", "{data.x", "${env:X}", "${file:.}", "a\nb", "*", ".*", "telemetry.*", "data.x +"]
NESTED = [
    [],
    [[]],
    [None],
    {},
    {"a": {}},
    {"kind": "probe"},
    {"adapter": "erp"},
    {"adapter": 7},
    {"x": ["1+"]},
]
ODD = st.sampled_from([None, True, 7, -1.5, *TEXTS, *NESTED])


def spots(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Every path into a nested value."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(spot for key, entry in inner for spot in spots(entry, (*path, key)))]


DATA = yaml.load(WHOLE, Loader=yaml.BaseLoader)
SPOTS = [spot for spot in spots(DATA) if spot]


@given(changes=st.lists(st.tuples(st.sampled_from(SPOTS), ODD, st.booleans()), min_size=1, max_size=3))
def test_any_odd_value_anywhere_gives_findings(
    changes: list[tuple[tuple[Any, ...], Any, bool]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    data = copy.deepcopy(DATA)
    for path, odd, remove in changes:
        try:
            within = data
            for step in path[:-1]:
                within = within[step]
            if remove:
                del within[path[-1]]
            else:
                within[path[-1]] = odd
        except (KeyError, TypeError, IndexError):
            continue
    file = tmp_path_factory.getbasetemp() / "odd.yaml"
    file.write_text(yaml.safe_dump(data, sort_keys=False), encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        install(patch)
        for found in check(file, {"X": "hidden-value"}):
            assert found.line >= 1 or not found.file.endswith("odd.yaml")
            assert "hidden-value" not in str(found)


@given(text=st.text(alphabet="abc:-[]{}&*!|>'\"#%@`, \n\t?<=~0", max_size=60))
def test_any_text_gives_findings(text: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    file: Path = tmp_path_factory.getbasetemp() / "any.yaml"
    file.write_text(text, encoding="utf-8")
    assert all(str(found) for found in check(file))
