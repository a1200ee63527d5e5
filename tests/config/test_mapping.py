"""Functions that map: what is wrong with one is known before it runs, and told with its line when it does."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from canonical.errors import ConfigError, PermanentError, Unresolved
from canonical.event import Event
from config.load import check
from config.mapping import Function, find_function
from tests.config.conftest import HEAD, Checked

_numbers = itertools.count()
Module = Callable[[str], str]


@pytest.fixture
def module(tmp_path: Path) -> Iterator[Module]:
    """Writes a module that no other test has, and returns its name; forgotten at the end."""
    made: list[str] = []

    def write(source: str) -> str:
        name = f"mapping_of_test_{next(_numbers)}"
        (tmp_path / f"{name}.py").write_text(source)
        made.append(name)
        return name

    path = list(sys.path)
    yield write
    sys.path[:] = path
    for name in made:
        sys.modules.pop(name, None)


@pytest.fixture
def found(module: Module, tmp_path: Path) -> Callable[[str], Function]:
    """The function ``f`` of a module."""
    return lambda source: find_function(f"{module(source)}.f", [tmp_path])


def event(data: Any) -> Event:
    return Event(
        id="1", source="/s", type="com.crossplant.x.v1", time=datetime(2026, 3, 1, tzinfo=UTC), data=data
    )


def lookup(domain: str, system: str, value: str) -> str:
    if value != "A-1":
        raise Unresolved(domain=domain, system=system, value=value)
    return f"{system}:{value}"


def test_a_function_is_given_what_it_names(found: Callable[[str], Function]) -> None:
    source = """
def f(data, lookup, event, *, currency="EUR"):
    return {"no": event.id, "item": lookup("item", "erp", data["item"]), "currency": currency}
"""
    made = found(source).apply(event({"item": "A-1"}), lookup)
    assert made == {"no": "1", "item": "erp:A-1", "currency": "EUR"}


def test_a_colon_before_the_function_is_taken_too(module: Module, tmp_path: Path) -> None:
    name = module("def f(data): return data['n']")
    assert find_function(f"{name}:f", [tmp_path]).apply(event({"n": 7}), lookup) == 7


def test_what_a_function_does_to_its_data_stays_with_it(found: Callable[[str], Function]) -> None:
    one = event({"lines": [{"item": "A"}]})
    source = """
def f(data, event):
    data["lines"][0]["item"] = "B"
    event.extensions["seen"] = True
    return event.data
"""
    assert found(source).apply(one, lookup) == {"lines": [{"item": "B"}]}
    assert one.data == {"lines": [{"item": "A"}]}
    assert one.extensions == {}


def test_an_exception_names_the_function_and_its_line(found: Callable[[str], Function]) -> None:
    source = """
import json

def inner(data):
    return json.loads(data["text"])

def f(data):
    return inner(data)
"""
    with pytest.raises(PermanentError, match=r"\.py:5\): JSONDecodeError: ") as failed:
        found(source).apply(event({"text": "{"}), lookup)
    assert failed.value.code == "mapping"
    with pytest.raises(PermanentError, match=r"\.py:5\): KeyError: 'text'"):
        found(source).apply(event({}), lookup)


@pytest.mark.parametrize("body", ["raise SystemExit(3)", "return f(data)", "return None", "pass"])
def test_whatever_a_function_does_it_is_a_fault_of_the_message(
    body: str, found: Callable[[str], Function]
) -> None:
    with pytest.raises(PermanentError) as failed:
        found(f"def f(data):\n    {body}").apply(event({}), lookup)
    assert failed.value.code == "mapping"


def test_an_unknown_code_stays_one_so_that_the_event_waits(found: Callable[[str], Function]) -> None:
    with pytest.raises(Unresolved):
        found("def f(data, lookup): return lookup('item', 'erp', 'B-2')").apply(event({}), lookup)


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("def f(data", r"importing \w+ failed: .*mapping_of_test_\d+\.py:1:6: '\(' was never closed"),
        ("\nboom()\ndef f(data): ...", r"importing \w+ failed: .*_\d+\.py:2: NameError: name 'boom'"),
        ("import nowhere_at_all", r"importing \w+ failed: .*_\d+\.py:1: ModuleNotFoundError: "),
        ("def g(data): ...", r"has no function 'f'; it has: g"),
        ("f = 3", "is no function but int"),
        ("async def f(data): ...", "neither async nor a generator"),
        ("def f(data):\n    yield data", "neither async nor a generator"),
        ("def f(dta): ...", "wants 'dta'; a mapping is given what it names of data, event, lookup"),
        ("def f(data, /): ...", "wants 'data'; a mapping"),
        ("def f(lookup): ...", "takes neither data nor event"),
    ],
)
def test_what_cannot_be_called_is_told(source: str, words: str, found: Callable[[str], Function]) -> None:
    with pytest.raises(ConfigError, match=words):
        found(source)


def test_check_imports_the_function_and_tells_its_place(
    checked: Checked, module: Module, tmp_path: Path
) -> None:
    name = module("def f(data: dict) -> dict: return data\ndef g(rows): return rows")
    head = HEAD.replace("routes:\n", f"python: [{tmp_path}]\nroutes:\n")
    assert checked(f"{head}    map: {name}.f\n") == []
    [wrong] = checked(f"{head}    map: {name}.g\n")
    assert wrong.startswith(f"deployment.yaml:12:10: routes.done.map: {name}.g wants 'rows'")


def test_a_folder_of_modules_is_relative_to_its_file(
    checked: Checked, module: Module, tmp_path: Path
) -> None:
    (tmp_path / "here").mkdir()
    name = module("def f(data): return data")
    (tmp_path / f"{name}.py").rename(tmp_path / "here" / f"{name}.py")
    head = HEAD.replace("routes:\n", "python: [here]\nroutes:\n")
    assert checked(f"{head}    map: {name}.f\n") == []
    [wrong] = checked(HEAD.replace("routes:\n", "python: [there]\nroutes:\n"))
    assert wrong == "deployment.yaml:7:10: python: no such folder: there"


def test_what_is_installed_is_not_hidden_by_a_folder_of_modules(tmp_path: Path) -> None:
    (tmp_path / "config.py").write_text("raise RuntimeError('shadowed')")
    path = list(sys.path)
    try:
        with pytest.raises(ConfigError, match=r"config\.load has no function 'f'"):
            find_function("config.load.f", [tmp_path])
        assert check(tmp_path / "none.yaml")
    finally:
        sys.path[:] = path
