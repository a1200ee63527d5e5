"""How xml is found, and which options make no sense."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from pydantic import ValidationError

from adapters.markup import XML
from canonical.errors import ConfigError
from canonical.spec import FORMATS, format_spec, installed
from tests.adapters.tabular.golden import CONTEXT


def test_the_format_is_found_and_its_example_works() -> None:
    assert "xml" in installed(FORMATS)
    assert format_spec("xml") is XML
    options = yaml.safe_load(XML.example)["format"]
    assert options.pop("kind") == XML.kind
    assert XML.decoder is not None
    XML.decoder(XML.config.model_validate(options), CONTEXT)


def test_every_option_is_described() -> None:
    assert [name for name, field in XML.config.model_fields.items() if not field.description] == []


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"records": ""}, "no path of elements"),
        ({"records": "/"}, "no path of elements"),
        ({"records": "a/"}, "no path of elements"),
        ({"records": "a///b"}, "no path of elements"),
        ({"records": "a[@x='1']"}, "conditions into `when`"),
        ({"records": "../a"}, "no path of elements"),
        ({"records": "o:a"}, "the prefix of 'o:a' is none"),
        ({"root": "o:a"}, "the prefix of 'o:a' is none"),
        ({"root": "1a"}, "no name of an element"),
        ({"namespaces": {"a b": "urn:x"}}, "no prefix"),
        ({"namespaces": {"xml": "urn:x"}}, "no prefix"),
        ({"namespaces": {"a": ""}}, "no URI"),
        ({"encoding": "utf-7"}, "no encoding of XML"),
        ({"encoding": "shift_jis"}, "no encoding of XML"),
    ],
)
def test_options_that_make_no_sense_are_refused(options: dict[str, Any], told: str) -> None:
    with pytest.raises(ValidationError) as caught:
        XML.config.model_validate(options)
    assert told in str(caught.value)


def test_reading_needs_rules_and_writing_needs_a_root() -> None:
    assert XML.decoder is not None
    assert XML.formatter is not None
    with pytest.raises(ConfigError, match="`events` is missing"):
        XML.decoder(XML.config.model_validate({}), CONTEXT)
    with pytest.raises(ConfigError, match="`root` is missing"):
        XML.formatter(XML.config.model_validate({}))
