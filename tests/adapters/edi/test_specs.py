"""How the formats are found, what they say of themselves, and that finding them costs nothing."""

from __future__ import annotations

import subprocess
import sys

import pytest
import yaml

from canonical.spec import FORMATS, format_spec, installed

KINDS = ["edifact", "x12"]


def test_the_formats_are_installed() -> None:
    assert set(KINDS) <= set(installed(FORMATS))


@pytest.mark.parametrize("kind", KINDS)
def test_the_example_is_valid(kind: str) -> None:
    spec = format_spec(kind)
    options = yaml.safe_load(spec.example)["format"]
    assert options.pop("kind") == spec.kind == kind
    spec.config.model_validate(options)


@pytest.mark.parametrize("kind", KINDS)
def test_every_option_is_described(kind: str) -> None:
    fields = format_spec(kind).config.model_fields
    assert [name for name, field in fields.items() if not field.description] == []


def test_looking_one_up_imports_no_heavy_library() -> None:
    heavy = {"pydifact", "jsonschema", "pint", "cel_expr_python"}
    code = f"import sys, adapters.edi; print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.strip() == "[]"
