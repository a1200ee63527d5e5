"""Durations and sizes: what an operator may write, what is refused, and what the schema says."""

from __future__ import annotations

from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

from canonical.duration import (
    Duration,
    Size,
    format_duration,
    format_size,
    parse_duration,
    parse_size,
    with_units,
)


class Settings(BaseModel):
    timeout: Duration = 30.0
    pause: Duration | None = 0.5
    never: Duration | None = None
    limit: Size = 32_000_000


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("500ms", 0.5),
        ("0s", 0),
        ("30s", 30),
        (" 5m ", 300),
        ("5 m", 300),
        ("1.5h", 5400),
        ("24h", 86_400),
        ("30d", 2_592_000),
    ],
)
def test_durations_are_seconds(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize(
    ("text", "size_bytes"),
    [
        ("0B", 0),
        ("512B", 512),
        ("64KB", 64_000),
        ("64kb", 64_000),
        ("64KiB", 65_536),
        ("1.5MB", 1_500_000),
        ("20GB", 20_000_000_000),
        ("2TiB", 2 * 1024**4),
    ],
)
def test_sizes_are_bytes(text: str, size_bytes: int) -> None:
    assert parse_size(text) == size_bytes


@pytest.mark.parametrize(
    "text", ["", "s", "30", "-5s", "5M", "1h30m", "1e3s", "5 minutes", "inf", "٣s", "40000d", True, None, [1]]
)
def test_what_is_no_duration_is_refused(text: object) -> None:
    with pytest.raises(ValueError, match=r"is not a duration|longer than"):
        parse_duration(text)


@pytest.mark.parametrize(
    "text", ["", "KB", "64", "-1KB", "64K", "64kbit", "0.5B", "9999999999999TB", True, None]
)
def test_what_is_no_size_is_refused(text: object) -> None:
    with pytest.raises(ValueError, match=r"is not a size|is not a whole number"):
        parse_size(text)


def test_a_bare_number_is_told_to_take_a_unit() -> None:
    with pytest.raises(ValidationError, match="a duration needs its unit: write 30s if you mean that"):
        Settings.model_validate({"timeout": 30})
    with pytest.raises(ValidationError, match="a size needs its unit: write 64B if you mean that"):
        Settings.model_validate({"limit": 64})


def test_a_dump_reads_back() -> None:
    settings = Settings.model_validate({"timeout": "2m", "pause": "250ms", "limit": "1GiB"})
    assert settings.model_dump(mode="json") == {
        "timeout": "2m",
        "pause": "250ms",
        "never": None,
        "limit": "1GiB",
    }
    assert Settings.model_validate_json(settings.model_dump_json()) == settings


def test_the_schema_accepts_what_the_model_accepts_and_shows_defaults_with_units() -> None:
    schema: dict[str, Any] = with_units(Settings.model_json_schema())
    fields = schema["properties"]
    assert [fields[name]["default"] for name in ("timeout", "pause", "never", "limit")] == [
        "30s",
        "500ms",
        None,
        "32MB",
    ]
    jsonschema.validate({"timeout": "1.5 h", "pause": None, "limit": "64kib"}, schema)
    for wrong in ({"timeout": 30}, {"timeout": "5M"}, {"limit": "64K"}):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(wrong, schema)


@given(st.integers(0, 36_500 * 86_400_000))
def test_every_duration_reads_back(milliseconds: int) -> None:
    assert parse_duration(format_duration(milliseconds / 1000)) == milliseconds / 1000


@given(st.integers(0, 10**14))
def test_every_size_reads_back(size_bytes: int) -> None:
    assert parse_size(format_size(size_bytes)) == size_bytes
