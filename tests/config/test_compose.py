"""YAML is read as version 1.2 says, with places, and nothing doubtful passes."""

from __future__ import annotations

from pathlib import Path

import pytest

from config.compose import compose
from config.document import Text


def read(content: str) -> tuple[object, list[str]]:
    root, findings = compose(Text("f.yaml", content), Path(), {})
    return (root.plain if root else None), [str(found) for found in findings]


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("on", "on"),
        ("yes", "yes"),
        ("true", True),
        ("12:30", "12:30"),
        ("2026-01-01", "2026-01-01"),
        ("0123", 123),
        ("0x1F", 31),
        ("0o17", 15),
        ("-1.5e3", -1500.0),
        ("1e3", 1000.0),
        (".5", 0.5),
        ("-.inf", float("-inf")),
        ("~", None),
        ("", None),
        ("'1'", "1"),
        ("1_000", "1_000"),
    ],
)
def test_scalars_are_those_of_the_core_schema(written: str, value: object) -> None:
    assert read(f"key: {written}") == ({"key": value}, [])


def test_keys_are_text_as_written() -> None:
    assert read("on: 1\n2: 2\ntrue: 3") == ({"on": 1, "2": 2, "true": 3}, [])


def test_an_empty_file_is_an_empty_mapping() -> None:
    assert read("# nothing\n") == ({}, [])


def test_a_key_given_twice_is_told_with_both_places() -> None:
    value, findings = read("a:\n  b: 1\n  c: 2\n  b: 3\n")
    assert value == {"a": {"b": 1, "c": 2}}
    assert findings == ["f.yaml:4:3: the key 'b' is given twice; first in line 2"]


def test_aliases_and_merges_are_followed() -> None:
    content = "base: &base {a: 1, b: 2}\none: *base\ntwo:\n  <<: *base\n  b: 3\nthree: {<<: [*base, {c: 4}]}"
    value, findings = read(content)
    assert not findings
    assert value == {
        "base": {"a": 1, "b": 2},
        "one": {"a": 1, "b": 2},
        "two": {"a": 1, "b": 3},
        "three": {"a": 1, "b": 2, "c": 4},
    }


@pytest.mark.parametrize(
    ("content", "finding"),
    [
        ("a: [1, 2", "f.yaml:1:9: this is not YAML: while parsing a flow sequence, expected ',' or ']', but"),
        ("a: b: c", "f.yaml:1:5: this is not YAML: mapping values are not allowed here"),
        ("a:\n\t- b", "f.yaml:2:1: this is not YAML: while scanning for the next token, found character"),
        ("a: 1\n---\nb: 2", "f.yaml:2:1: this is not YAML: expected a single document in the stream"),
        ("a: *nowhere", "f.yaml:1:4: this is not YAML: found undefined alias 'nowhere'"),
        ("a: \x07", "f.yaml:1:4: a character that YAML does not allow: U+0007"),
        ("a: &self [*self]", "f.yaml:1:4: this alias stands inside its own anchor"),
        ("? [a, b]\n: c", "f.yaml:1:3: a key must be plain text"),
        ("a: !secret x", "f.yaml:1:4: the tag '!secret' does not belong here; leave it out"),
        ("a: !!python/name:os.system", "f.yaml:1:4: the tag"),
        ("a: !!set {b}", "f.yaml:1:4: the tag"),
        ("a: {<<: 3}", "f.yaml:1:9: << takes a mapping (an alias), or a list of them"),
    ],
)
def test_what_is_no_plain_yaml_is_told(content: str, finding: str) -> None:
    assert read(content)[1][0].startswith(finding)
