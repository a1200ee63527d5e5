"""The format value: what devices publish as one number, text or boolean."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from adapters.json import VALUE
from adapters.json.config import ValueOptions
from canonical import catalogue
from canonical.errors import ConfigError, Invalid
from canonical.event import Event
from canonical.ports import RawMessage
from canonical.record import EventRule
from canonical.spec import FormatContext

TOPIC: dict[str, Any] = {"topic": "acme/brno/press-shop/line-1/press-3/temperature"}


def decode(body: bytes, attributes: dict[str, Any] | None = None, **options: Any) -> Event | Invalid:
    assert VALUE.decoder is not None
    context = FormatContext(
        adapter="broker",
        source="/plants/brno/adapters/broker",
        plant="brno",
        partner=None,
        timezone=ZoneInfo("UTC"),
    )
    raw = RawMessage(
        adapter="broker",
        id="m-1",
        body=body,
        received_at=datetime(2026, 7, 1, 12, tzinfo=UTC),
        attributes=TOPIC if attributes is None else attributes,
    )
    state, found = VALUE.decoder(ValueOptions(**options), context).decode(b"s", raw)
    assert state == b"s"
    (one,) = found
    return one


def value(body: bytes, **options: Any) -> Any:
    found = decode(body, **options)
    assert isinstance(found, Event), found.errors
    return found.data["value"]


def fault(body: bytes, **options: Any) -> Invalid:
    found = decode(body, **options)
    assert isinstance(found, Invalid), found
    return found


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b"21.5", 21.5),
        (b" 21 \r\n", 21),
        (b"-3e2", -300.0),
        (b"21\0", 21),
        (b"true", True),
        (b"false", False),
        (b"running", "running"),
        (b" two words ", " two words "),
        (b"007", "007"),
        (b"+5", "+5"),
        (b"ON", "ON"),
        (b"nan", "nan"),
        (b"21,5", "21,5"),
        (b"0x1F", "0x1F"),
        (b'{"a": 1}', '{"a": 1}'),
        ("21 °C".encode(), "21 °C"),
        (b"9223372036854775807", 2**63 - 1),
        (b"9223372036854775808", "9223372036854775808"),
        (b"0.1234567890123456789", "0.1234567890123456789"),
    ],
)
def test_a_value_is_what_json_would_read_or_else_text(body: bytes, expected: object) -> None:
    found = value(body)
    assert found == expected
    assert type(found) is type(expected)


@pytest.mark.parametrize(
    ("body", "decimal", "expected"),
    [
        (b"21.5", "point", 21.5),
        (b"21,5", "comma", 21.5),
        (b"+007", "point", 7),
        (b".5", "point", 0.5),
        (b"5.", "point", 5.0),
        (b"-,5", "comma", -0.5),
        (b"1e3", "point", 1000.0),
    ],
)
def test_numbers_of_devices_are_understood_when_declared(body: bytes, decimal: str, expected: object) -> None:
    found = value(body, type="number", decimal=decimal)
    assert found == expected
    assert type(found) is type(expected)


@pytest.mark.parametrize(
    ("body", "decimal"),
    [
        (b"", "point"),
        (b"x", "point"),
        (b"NaN", "point"),
        (b"inf", "point"),
        (b"1_000", "point"),
        (b"1,000", "point"),
        (b"1.000,5", "comma"),
        (b"1.5", "comma"),
        (b"1,5,0", "comma"),
        (b"1 2", "point"),
        ("٣".encode(), "point"),
        (b"1" * 65, "point"),
        (b"true", "point"),
    ],
)
def test_what_is_no_number_is_refused(body: bytes, decimal: str) -> None:
    assert fault(body, type="number", decimal=decimal).code == "not_a_value"


@pytest.mark.parametrize(
    ("body", "expected"), [(b"on", True), (b"TRUE", True), (b" 1\n", True), (b"Off", False), (b"0", False)]
)
def test_booleans_have_words(body: bytes, expected: bool) -> None:
    assert value(body, type="boolean") is expected


def test_the_words_of_booleans_are_options() -> None:
    assert value(b"ein", type="boolean", true=["EIN"], false=["AUS"]) is True
    assert "neither EIN nor AUS" in fault(b"on", type="boolean", true=["EIN"], false=["AUS"]).message
    with pytest.raises(ValidationError, match="both true and false"):
        ValueOptions(true=["an"], false=["AN"])


def test_text_stays_as_it_is() -> None:
    assert value(b" 12 ", type="text") == " 12 "
    assert value(b"", type="text") == ""
    assert value(b"abc\0\0", type="text") == "abc"
    assert value(b"\xe4", type="text", charset="iso-8859-1") == "ä"


@pytest.mark.parametrize("body", [b"", b" \r\n", b"\0"])
def test_an_empty_body_is_no_value(body: bytes) -> None:
    assert fault(body).code == "not_a_value"


def test_bytes_that_are_no_text_are_refused() -> None:
    assert fault(b"ab\xff").errors[0][0] == "byte 2"
    assert fault(b"a\0b").code == "nul"
    assert fault(b"x" * 20, max_size="10B").code == "too_large"


def test_without_rules_a_value_is_a_measurement() -> None:
    found = decode(b"21.5", uom="CEL")
    assert found == Event(
        id="m-1",
        source="/plants/brno/adapters/broker",
        type="com.crossplant.telemetry.measurement.recorded.v1",
        time=datetime(2026, 7, 1, 12, tzinfo=UTC),
        subject="acme/brno/press-shop/line-1/press-3",
        plantid="brno",
        domain="telemetry",
        partitionkey="E:acme/brno/press-shop/line-1/press-3",
        srcmsgid="m-1",
        data={
            "tag": "temperature",
            "value": 21.5,
            "uom": "CEL",
            "quality": "good",
            "source_time": "2026-07-01T12:00:00Z",
        },
    )


@pytest.mark.parametrize(
    ("attributes", "tag", "subject"),
    [
        ({"topic": "a/b/c", "tag": "speed"}, "speed", "a/b"),
        ({"topic": "a/b/c", "tag": "speed", "equipment": "press-3"}, "speed", "press-3"),
        ({"topic": "speed"}, "speed", "broker"),
        ({"tag": 7}, "7", "broker"),
    ],
)
def test_tag_and_equipment_come_from_the_topic_or_its_captures(
    attributes: dict[str, Any], tag: str, subject: str
) -> None:
    found = decode(b"1", attributes)
    assert isinstance(found, Event)
    assert (found.data["tag"], found.subject) == (tag, subject)


def test_a_value_without_any_tag_is_refused() -> None:
    found = decode(b"1", {})
    assert isinstance(found, Invalid)
    assert found.errors[0][0] == "/data/tag"


def test_rules_see_the_value_as_payload() -> None:
    rules = [
        EventRule(when="payload == 'idle'", ignore=True),
        EventRule(
            type="equipment.state.changed",
            subject="message.topic",
            data={"state": "payload.lowerAscii()", "previous": "'idle'", "entered_at": "message.received_at"},
        ),
    ]
    found = decode(b"EXECUTE", events=rules)
    assert isinstance(found, Event), found.errors
    assert (found.subject, found.data["state"]) == (TOPIC["topic"], "execute")
    with pytest.raises(ConfigError):
        decode(b"x", events=[EventRule(when="nope", ignore=True)])


@given(
    st.binary(max_size=40)
    | st.from_regex(r"[+-]?[0-9]{0,30}[.,]?[0-9]{0,30}([eE][+-]?[0-9]{1,6})?", fullmatch=True).map(str.encode)
)
def test_any_bytes_are_a_measurement_or_told(body: bytes) -> None:
    kinds: list[dict[str, Any]] = [{"type": kind} for kind in ("auto", "number", "boolean", "text")]
    for options in [*kinds, {"type": "number", "decimal": "comma"}]:
        found = decode(body, **options)
        if isinstance(found, Event):
            assert catalogue.validate(found.type, found.data) == []
        else:
            assert found.errors


# ── writing ─────────────────────────────────────────────────────────────────────────────────────


def write(payload: Any, **options: Any) -> bytes:
    assert VALUE.formatter is not None
    return VALUE.formatter(ValueOptions(**options)).format(payload)


@pytest.mark.parametrize(
    ("payload", "options", "body"),
    [
        (21.5, {}, b"21.5"),
        (21.5, {"decimal": "comma"}, b"21,5"),
        (21, {}, b"21"),
        (True, {}, b"true"),
        (False, {"true": ["EIN"], "false": ["AUS"]}, b"AUS"),
        ("ä", {}, "ä".encode()),
        ("ä", {"charset": "iso-8859-1"}, b"\xe4"),
        ("", {}, b""),
    ],
)
def test_a_scalar_is_written_as_bare_text(payload: object, options: dict[str, Any], body: bytes) -> None:
    assert write(payload, **options) == body


@pytest.mark.parametrize("payload", [None, [], {}, float("nan"), float("inf"), object(), b"x"])
def test_what_is_no_scalar_is_refused(payload: object) -> None:
    with pytest.raises(Invalid, match="one number, text or boolean is needed"):
        write(payload)


def test_what_the_charset_lacks_is_refused() -> None:
    with pytest.raises(Invalid, match="has no character"):
        write("€", charset="iso-8859-1")


def test_the_content_type_names_the_charset() -> None:
    assert VALUE.formatter is not None
    assert VALUE.formatter(ValueOptions()).content_type == "text/plain; charset=utf-8"


@given(st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.booleans())
def test_what_is_written_is_read(payload: object) -> None:
    body = write(payload)
    found = value(body)
    assert found == payload or found == str(payload)
