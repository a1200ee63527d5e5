"""The quick reading of CloudEvents: the same as the strict one, or none at all."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from canonical.cloudevents import parse_batch, parse_structured
from canonical.errors import Invalid
from canonical.event import Event
from canonical.quick import quick_batch, quick_structured

PRESS: dict[str, Any] = {
    "specversion": "1.0",
    "id": "p-1",
    "source": "/plants/aachen/press",
    "type": "com.example.press.opened",
    "time": "2026-03-31T10:00:00.25Z",
    "subject": "press-7",
    "data": {"tag": "temperature", "value": 20.5, "list": [1, None, "ä"]},
}
NAMES = [*Event.__struct_fields__, "myextension", "My-extension"]
VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=5),
    st.sampled_from(
        [
            "1.0",
            "",
            "https://a b",
            "/plants/x",
            "a\u0000b",
            "application/json",
            "text/plain",
            "AAEC",
            "2026-03-31T10:00:00Z",
            "2026-03-31 10:00:00Z",
            "2026-03-31t10:00:00z",
            "2026-03-31T10:00:00",
            "2026-03-31T10:00:60Z",
            "2026-03-31T10:00:00.1234567Z",
            "2026-03-31T12:00:00+02:00",
            "2026-02-30T10:00:00Z",
            [],
            {},
            {"a": [{"b": "c"}]},
        ]
    ),
)


def strict(body: bytes, max_depth: int = 64) -> Event | None:
    try:
        return parse_structured(body, max_depth=max_depth)
    except Invalid:
        return None


def test_what_is_usual_is_read() -> None:
    body = json.dumps(PRESS).encode()
    event = quick_structured(body)
    assert event is not None
    assert event == parse_structured(body)
    assert event.time == datetime(2026, 3, 31, 10, 0, 0, 250_000, tzinfo=UTC)


@given(st.dictionaries(st.sampled_from(NAMES), VALUES, max_size=4))
def test_it_reads_what_the_strict_reading_reads_or_nothing(members: dict[str, Any]) -> None:
    body = json.dumps({**PRESS, **members}).encode()
    quick = quick_structured(body)
    assert quick is None or quick == strict(body)


@given(st.integers(0, 400), st.binary(max_size=3), st.integers(0, 3))
def test_a_broken_text_is_read_as_strictly(at: int, put: bytes, gone: int) -> None:
    body = json.dumps(PRESS).encode()
    body = body[:at] + put + body[at + gone :]
    quick = quick_structured(body)
    assert quick is None or quick == strict(body)


@pytest.mark.parametrize("name", ["specversion", "id", "source", "type"])
def test_what_lacks_an_attribute_is_not_read(name: str) -> None:
    members = {key: value for key, value in PRESS.items() if key != name}
    assert quick_structured(json.dumps({**members, "data": {name: "1.0"}}).encode()) is None


def test_what_is_too_large_or_too_deep_is_not_read() -> None:
    body = json.dumps(PRESS).encode()
    assert quick_structured(body, max_bytes=len(body) - 1) is None
    nested = json.dumps({**PRESS, "data": json.loads("[" * 64 + "]" * 64)}).encode()
    assert quick_structured(nested) is None
    assert quick_structured(b"[" * 100_000) is None
    assert quick_batch(b"[" * 100_000) is None


def test_a_batch_is_read_with_the_text_of_each() -> None:
    members = [{**PRESS, "id": f"p-{number}"} for number in range(100)]
    body = json.dumps(members).encode()
    read = quick_batch(body)
    assert read is not None
    events, texts = read
    assert events == parse_batch(body)
    assert [json.loads(text) for text in texts] == members


@pytest.mark.parametrize("body", [b"{}", b"5", b"[", b"\xff", b"[5]", b"[{}]"])
def test_a_batch_with_anything_else_is_not_read(body: bytes) -> None:
    assert quick_batch(body) is None
    assert quick_batch(b"[%b,%b]" % (json.dumps(PRESS).encode(), body)) is None


def test_a_batch_of_none_is_read() -> None:
    assert quick_batch(b" [ ] ") == ([], [])
