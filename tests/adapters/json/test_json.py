"""The format json: documents and lines by rules, and payloads as compact JSON."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.json import JSON
from adapters.json.config import JsonOptions
from canonical.errors import ConfigError, Invalid
from canonical.event import Event
from canonical.ports import Decoder, RawMessage
from canonical.record import EventRule
from canonical.spec import FormatContext

CONTEXT = FormatContext(
    adapter="wms",
    source="/plants/brno/adapters/wms",
    plant="brno",
    partner=None,
    timezone=ZoneInfo("Europe/Prague"),
)
RULES = [
    EventRule(when="payload.kind == 'ping'", ignore=True),
    EventRule(
        type="inventory.adjusted",
        data={
            "location": {"plant": "'brno'", "storage": "payload.bin"},
            "item": "payload.sku",
            "delta": {"value": "payload.qty", "uom": "'KGM'"},
            "reason": {"code": "'count'"},
            "posted_at": "message.received_at",
        },
    ),
]
DOCUMENT = b'{"kind": "count", "bin": "A-1", "sku": "4711", "qty": %b}'
BAD_LINES = (
    DOCUMENT % b"1"
    + b"\n"
    + DOCUMENT % b"x"
    + b'\n\n{"kind": "ping"}\r\n{"kind": "count"}\n'
    + DOCUMENT % b"2"
    + b"\r\n"
)


def message(body: bytes) -> RawMessage:
    return RawMessage(adapter="wms", id="m-1", body=body, received_at=datetime(2026, 7, 1, tzinfo=UTC))


def decoder(**options: Any) -> Decoder:
    assert JSON.decoder is not None
    return JSON.decoder(JsonOptions(**{"events": RULES, **options}), CONTEXT)


def decode(body: bytes, **options: Any) -> list[Event | Invalid]:
    state, found = decoder(**options).decode(b"as it was", message(body))
    assert state == b"as it was"
    return list(found)


def events(found: Iterable[Event | Invalid]) -> list[Event]:
    return [one for one in found if isinstance(one, Event)]


def faults(found: Iterable[Event | Invalid]) -> list[Invalid]:
    return [one for one in found if isinstance(one, Invalid)]


def test_a_document_becomes_events() -> None:
    (found,) = events(decode(DOCUMENT % b"12.5"))
    assert (found.id, found.subject, found.data["delta"]) == ("m-1", "4711", {"value": "12.5", "uom": "KGM"})


def test_a_byte_order_mark_is_no_fault() -> None:
    assert events(decode(b"\xef\xbb\xbf" + DOCUMENT % b"1"))


def test_an_ignored_document_gives_nothing() -> None:
    assert decode(b'{"kind": "ping"}') == []


@pytest.mark.parametrize(
    "digits", [b"12345678901234567890123.123456789", b"18446744073709551616", b"0.1234567890123456789"]
)
def test_no_digit_is_lost(digits: bytes) -> None:
    (found,) = events(decode(DOCUMENT % digits))
    assert found.data["delta"]["value"] == digits.decode()


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"", "not_json"),
        (b"not json", "not_json"),
        (DOCUMENT % b"NaN", "not_json"),
        (DOCUMENT % b"Infinity", "not_json"),
        (b"\xff\xfe", "not_utf8"),
        (b"[" * 100_000, "too_deep"),
        (b"[" * 65 + b"]" * 65, "too_deep"),
        (b'{"sku": "\\u0000"}', "nul"),
        (b"{}", "mapping"),
    ],
)
def test_what_cannot_be_read_is_told(body: bytes, code: str) -> None:
    (fault,) = faults(decode(body))
    assert fault.code == code
    assert len(fault.message) < 400


def test_size_and_depth_are_options() -> None:
    assert faults(decode(DOCUMENT % b"1", max_size="10B"))[0].code == "too_large"
    assert faults(decode(DOCUMENT % b"1", max_size="10B", lines=True))[0].code == "too_large"
    assert faults(decode(DOCUMENT % b"[[]]", max_depth=2))[0].code == "too_deep"


def test_every_line_is_a_document_of_its_own() -> None:
    found = decode(BAD_LINES, lines=True)
    assert [one.id for one in events(found)] == ["m-1-1", "m-1-6"]
    assert [fault.message.partition(":")[0] for fault in faults(found)] == [
        "not JSON",
        "line 5",
    ]
    assert faults(found)[0].errors[0][0].startswith("line 2 column ")
    assert faults(found)[1].errors[0][0] == "line 5: /data/location/storage"
    assert [type(one) for one in found] == [Event, Invalid, Invalid, Event]


def test_lines_keep_their_ids_when_another_line_is_mended() -> None:
    mended = decode(BAD_LINES.replace(b"x", b"7"), lines=True)
    assert [one.id for one in events(mended)] == ["m-1-1", "m-1-2", "m-1-6"]


def test_a_decoder_needs_rules() -> None:
    with pytest.raises(ConfigError, match="`events` is missing"):
        decoder(events=[])
    with pytest.raises(ConfigError, match="nope"):
        decoder(events=[EventRule(when="nope", ignore=True)])


@given(st.binary(max_size=200) | st.text(alphabet='{}[]":,01\n\\u kindsquy.eE-', max_size=60).map(str.encode))
def test_any_bytes_are_decoded_or_told(body: bytes) -> None:
    for lines in (False, True):
        for found in decode(body, lines=lines):
            assert isinstance(found, Event) or found.errors


# ── writing ─────────────────────────────────────────────────────────────────────────────────────


def write(payload: Any) -> bytes:
    assert JSON.formatter is not None
    formatter = JSON.formatter(JsonOptions())
    assert formatter.content_type == "application/json"
    return formatter.format(payload)


def test_a_payload_is_written_compactly_in_its_order() -> None:
    moment = datetime(2026, 7, 1, 12, tzinfo=UTC)
    payload = {"b": 1, "a": [Decimal("1.50"), moment, None, "ä", 2**70, timedelta(seconds=1)]}
    assert write(payload).decode() == (
        '{"b":1,"a":["1.50","2026-07-01T12:00:00Z",null,"ä",1180591620717411303424,"PT1S"]}'
    )


@pytest.mark.parametrize(
    ("payload", "where"),
    [
        ({"a": [1, float("nan")]}, "/a/1"),
        (float("inf"), ""),
        ({"a": None, "b": (float("-inf"),)}, "/b/0"),
        ({"a": "\ud800"}, ""),
        (object(), ""),
        ({"a": {1, 2, object()}}, ""),
    ],
)
def test_what_json_cannot_say_is_refused(payload: Any, where: str) -> None:
    with pytest.raises(Invalid, match="no form in JSON") as caught:
        write(payload)
    assert caught.value.errors[0][0] == where


def test_a_payload_that_nests_for_ever_is_refused() -> None:
    payload: list[Any] = []
    payload.append(payload)
    with pytest.raises(Invalid):
        write(payload)


def test_null_is_no_fault() -> None:
    assert write({"a": None, "b": "null"}) == b'{"a":null,"b":"null"}'


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.decimals(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
        max_leaves=10,
    )
)
def test_any_payload_is_written_or_refused(payload: Any) -> None:
    try:
        body = write(payload)
    except Invalid:
        return
    assert msgspec.json.encode(msgspec.json.decode(body)) == body
