"""The JSON Schema accepts what loads, and marks what an editor should mark."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from config.compose import compose
from config.document import Text
from config.schema import schema
from tests.config.conftest import HEAD
from tests.config.kinds import install


def as_written(text: str) -> Any:
    """The YAML with references as they stand in it."""
    root, findings = compose(Text("f", text.replace("${", "$${")), Path(), {})
    assert root is not None
    assert not findings
    return root.plain


@pytest.fixture
def validator(monkeypatch: pytest.MonkeyPatch) -> jsonschema.Draft202012Validator:
    install(monkeypatch)
    return jsonschema.Draft202012Validator(schema())


def test_it_is_a_json_schema(validator: jsonschema.Draft202012Validator) -> None:
    made = json.loads(json.dumps(schema()))
    assert made["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    jsonschema.Draft202012Validator.check_schema(made)


def test_every_reference_inside_it_leads_somewhere(validator: jsonschema.Draft202012Validator) -> None:
    made = schema()

    def references(shape: Any) -> set[str]:
        if isinstance(shape, list):
            return {found for entry in shape for found in references(entry)}
        if not isinstance(shape, dict):
            return set()
        own = {shape["$ref"]} if isinstance(shape.get("$ref"), str) else set()
        return own | {found for entry in shape.values() for found in references(entry)}

    assert {found.removeprefix("#/$defs/") for found in references(made)} <= made["$defs"].keys()


def test_every_key_is_described(validator: jsonschema.Draft202012Validator) -> None:
    made = schema()
    parts = {"": made, **made["$defs"]}
    bare = [
        f"{name}.{key}"
        for name, part in parts.items()
        for key, shape in part.get("properties", {}).items()
        if not shape.get("description")
        and "const" not in shape
        and not name.startswith(("adapter-", "target-"))
    ]
    assert bare == []


@pytest.mark.parametrize(
    "text",
    [
        HEAD,
        HEAD.replace(
            "url: x://erp", "url: '${env:URL}', token: '${file:token}', timeout: 2m, keep: '${env:KEEP}'"
        ),
        HEAD.replace(
            "company: acme", "company: acme\ngateway: {port: '${env:PORT}'}\njournal: {retain: 1.5h}"
        ),
        HEAD.replace("to: {adapter: erp, path: orders}", "to: line1"),
    ],
)
def test_what_loads_is_accepted(text: str, validator: jsonschema.Draft202012Validator) -> None:
    assert [error.message for error in validator.iter_errors(as_written(text))] == []


@pytest.mark.parametrize(
    ("text", "path"),
    [
        (HEAD + "foo: 1\n", "$"),
        (HEAD.replace("url: x://erp", "url: x://erp, tokn: x"), "$.adapters.erp"),
        (HEAD.replace("url: x://erp", "url: x://erp, token: clear"), "$.adapters.erp.token"),
        (HEAD.replace("url: x://erp", "url: x://erp, timeout: 30"), "$.adapters.erp.timeout"),
        (HEAD.replace("url: x://erp", "timeout: 30s"), "$.adapters.erp"),
        (HEAD.replace("kind: probe, url: x://erp", "kind: prob"), "$.adapters.erp.kind"),
        (HEAD.replace("kind: json", "kind: json, foo: 1"), "$.adapters.line1.format"),
        (HEAD.replace("path: orders", "path: orders, foo: 1"), "$.routes.done.to"),
        (HEAD.replace("line1:", "Line_1:"), "$.adapters"),
        (HEAD.replace("    to:", "    mode: shade\n    to:"), "$.routes.done.mode"),
        (HEAD.replace("    to:", "    from: then\n    to:"), "$.routes.done.from"),
    ],
)
def test_what_does_not_load_is_marked(
    text: str, path: str, validator: jsonschema.Draft202012Validator
) -> None:
    assert path in [error.json_path for error in validator.iter_errors(as_written(text))]
