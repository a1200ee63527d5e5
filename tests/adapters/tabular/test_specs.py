"""How csv and fixed are found, and which options make no sense."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
import yaml
from pydantic import ValidationError

from adapters.tabular import CSV, FIXED
from canonical.errors import ConfigError
from canonical.spec import FORMATS, FormatSpec, format_spec, installed
from tests.adapters.tabular.golden import CONTEXT

SPECS = [CSV, FIXED]


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.kind)
def test_the_format_is_found_and_its_example_works(spec: FormatSpec) -> None:
    assert spec.kind in installed(FORMATS)
    assert format_spec(spec.kind) is spec
    options = yaml.safe_load(spec.example)["format"]
    assert options.pop("kind") == spec.kind
    read = spec.config.model_validate(options)
    assert spec.decoder is not None
    assert spec.formatter is not None
    spec.decoder(read, CONTEXT)
    if spec is FIXED or read.model_dump()["columns"]:
        spec.formatter(read)


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.kind)
def test_every_option_is_described(spec: FormatSpec) -> None:
    assert [name for name, field in spec.config.model_fields.items() if not field.description] == []
    columns = spec.config.model_json_schema()["$defs"]
    assert [
        name
        for kind in ("Column", "FixedColumn")
        for name, field in columns.get(kind, {}).get("properties", {}).items()
        if "description" not in field
    ] == []


def test_looking_one_up_imports_no_heavy_library() -> None:
    heavy = {"cel_expr_python", "jsonschema", "pint"}
    code = f"import sys, adapters.tabular; print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"delimiter": "auto"}, "a wrong guess is silent"),
        ({"delimiter": "\n"}, "cannot part the cells"),
        ({"delimiter": '"'}, "must differ"),
        ({"header": False}, "without a header nothing else names them"),
        ({"encoding": "auto"}, "no encoding of text files"),
        ({"encoding": "utf-7"}, "no encoding of text files"),
        ({"encoding": "rot13"}, "no encoding of text files"),
        ({"encoding": "cp037"}, "no encoding of text files"),
        ({"skip": "("}, "no regular expression"),
        ({"columns": {"a": {}, "b": {"title": "a"}}}, "twice"),
        ({"columns": {"a": {"type": "decimal", "decimal": ",", "thousands": ","}}}, "cannot be both"),
        ({"columns": {"a": {"type": "date", "format": "%d.%m."}}}, "tells no day, month and year"),
        ({"columns": {"a": {"type": "date", "format": "local"}}}, "tells no day, month and year"),
        ({"columns": {"a": {"type": "datetime", "format": "%Y-%m-%d %Q"}}}, "no pattern"),
        ({"columns": {"a": {"format": "%Y"}}}, "is for date and datetime"),
        ({"columns": {"a": {"type": "datetime", "timezone": "CEST"}}}, "no IANA time zone"),
        ({"columns": {"a": {"type": "datetime", "timezone": "Europe"}}}, "no IANA time zone"),
        ({"columns": {"a": {"type": "boolean", "true": ["1"], "false": ["1"]}}}, "both true and false"),
    ],
)
def test_options_that_make_no_sense_are_refused(options: dict[str, Any], told: str) -> None:
    with pytest.raises(ValidationError, match=told):
        CSV.config.model_validate(options)


def test_reading_needs_rules_and_writing_needs_columns() -> None:
    assert CSV.decoder is not None
    assert CSV.formatter is not None
    with pytest.raises(ConfigError, match="`events` is missing"):
        CSV.decoder(CSV.config.model_validate({}), CONTEXT)
    with pytest.raises(ConfigError, match="`columns` is missing"):
        CSV.formatter(CSV.config.model_validate({}))
    local = {"columns": {"when": {"type": "datetime", "format": "%d.%m.%Y %H:%M"}}}
    with pytest.raises(ConfigError, match="`timezone` is missing"):
        CSV.formatter(CSV.config.model_validate(local))
