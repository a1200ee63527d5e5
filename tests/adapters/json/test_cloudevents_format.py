"""The format cloudevents: other people's events, kept as they are once the catalogue agrees."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.json import CLOUDEVENTS
from adapters.json.config import CloudEventsOptions
from canonical.cloudevents import BATCH, STRUCTURED, parse_structured, to_binary
from canonical.errors import Invalid
from canonical.event import Event, to_json
from canonical.ports import RawMessage
from canonical.spec import FormatContext

MOVED: dict[str, Any] = {
    "specversion": "1.0",
    "id": "w-1",
    "source": "https://wms.example.com",
    "type": "com.crossplant.inventory.moved.v1",
    "time": "2026-07-01T12:00:00Z",
    "data": {
        "from": {"plant": "brno", "storage": "A"},
        "to": {"plant": "brno", "storage": "B"},
        "item": "4711",
        "quantity": {"value": "2", "uom": "H87"},
        "at": "2026-07-01T12:00:00Z",
    },
}


def decode(
    body: bytes,
    content_type: str = "",
    *,
    plant: str | None = "brno",
    attributes: dict[str, Any] | None = None,
    **options: Any,
) -> list[Event | Invalid]:
    assert CLOUDEVENTS.decoder is not None
    context = FormatContext(
        adapter="wms", source="/plants/brno/adapters/wms", plant=plant, partner=None, timezone=ZoneInfo("UTC")
    )
    raw = RawMessage(
        adapter="wms",
        id="m-1",
        body=body,
        received_at=datetime(2026, 7, 1, tzinfo=UTC),
        content_type=content_type,
        attributes=attributes or {},
    )
    state, found = CLOUDEVENTS.decoder(CloudEventsOptions(**options), context).decode(None, raw)
    assert state is None
    return list(found)


def one(**members: Any) -> Event:
    (found,) = decode(json.dumps({**MOVED, **members}).encode())
    assert isinstance(found, Event), found.errors
    return found


def fault(body: Any, content_type: str = "", **options: Any) -> Invalid:
    (found,) = decode(body if isinstance(body, bytes) else json.dumps(body).encode(), content_type, **options)
    assert isinstance(found, Invalid)
    return found


def test_identity_and_data_stay_the_senders() -> None:
    found = one(ext="x")
    assert (found.id, found.source, found.data, found.extensions) == (
        "w-1",
        "https://wms.example.com",
        MOVED["data"],
        {"ext": "x"},
    )


def test_the_plant_is_filled_in() -> None:
    assert one().plantid == "brno"
    assert one(plantid="brno").plantid == "brno"
    (free,) = decode(json.dumps({**MOVED, "plantid": "linz"}).encode(), plant=None)
    assert isinstance(free, Event)
    assert free.plantid == "linz"


def test_another_plant_is_refused() -> None:
    assert fault({**MOVED, "plantid": "linz"}).errors == (
        ("/plantid", "must be 'brno', the sender's plant, not 'linz'"),
    )


@pytest.mark.parametrize("content_type", ["", STRUCTURED, "application/json", "text/plain"])
def test_a_single_event_is_recognised(content_type: str) -> None:
    (found,) = decode(json.dumps(MOVED).encode(), content_type)
    assert isinstance(found, Event)


@pytest.mark.parametrize("content_type", ["", BATCH, "application/json"])
def test_a_batch_is_recognised(content_type: str) -> None:
    batch = [MOVED, {**MOVED, "id": ""}, {**MOVED, "id": "w-3", "data": {}}, {**MOVED, "id": "w-4"}]
    found = decode(json.dumps(batch).encode(), content_type)
    assert [type(entry) for entry in found] == [Event, Invalid, Invalid, Event]
    pointers = [[where for where, _ in entry.errors] for entry in found if isinstance(entry, Invalid)]
    assert pointers[0] == ["/1/id"]
    assert set(pointers[1]) >= {"/2/data/item", "/2/data/quantity", "/2/data/from"}


def test_a_content_type_is_taken_at_its_word() -> None:
    assert "must be an object" in fault([MOVED], STRUCTURED).message
    assert "must be an array" in fault(MOVED, BATCH).message
    assert fault(MOVED, "application/cloudevents+avro").code == "unsupported_format"


def test_binary_mode_is_read_from_headers() -> None:
    event = one(subject="ä 4711")
    headers, body = to_binary(event)
    attributes = {f"header.{name}": value for name, value in headers.items() if name != "content-type"}
    (found,) = decode(body, headers["content-type"], attributes=attributes)
    assert isinstance(found, Event)
    assert (found.id, found.subject, found.data) == ("w-1", "ä 4711", MOVED["data"])


def test_a_header_in_binary_mode_that_is_wrong_is_told() -> None:
    attributes = {"header.ce-id": "1", "header.ce-source": "a b", "header.ce-type": "x"}
    (found,) = decode(b"{}", "application/json", attributes=attributes)
    assert isinstance(found, Invalid)
    assert {where for where, _ in found.errors} == {"ce-source", "ce-specversion"}


@pytest.mark.parametrize(
    ("members", "where", "detail"),
    [
        ({"type": "com.crossplant.inventory.moved.v9"}, "/type", "unknown event type"),
        ({"type": "com.example.press.opened"}, "/type", "unknown event type"),
        ({"domain": "quality"}, "/domain", "must be 'inventory'"),
        ({"data": None}, "/data", ""),
        ({"data": "text"}, "/data", ""),
        ({"specversion": "0.3"}, "/specversion", 'must be "1.0"'),
    ],
)
def test_what_the_catalogue_refuses_is_told(members: dict[str, Any], where: str, detail: str) -> None:
    errors = dict(fault({**MOVED, **members}).errors)
    assert list(errors) == [where]
    assert detail in errors[where]


def test_bytes_are_no_data_of_the_catalogue() -> None:
    event = {name: value for name, value in MOVED.items() if name != "data"}
    assert fault({**event, "data_base64": "AA=="}).errors[0][0] == "/data_base64"


def test_an_event_must_say_what_it_is_about() -> None:
    measured = {
        **MOVED,
        "type": "com.crossplant.telemetry.measurement.recorded.v1",
        "data": {
            "tag": "t",
            "value": 1,
            "uom": "C62",
            "quality": "good",
            "source_time": "2026-07-01T12:00:00Z",
        },
    }
    assert fault(measured).errors[0][0] == "/subject"
    (found,) = decode(json.dumps({**measured, "subject": "press-3"}).encode())
    assert isinstance(found, Event)


def test_size_and_depth_are_options() -> None:
    assert fault(MOVED, max_size="10B").code == "too_large"
    assert fault({**MOVED, "data": [[[]]]}, max_depth=2).code == "too_deep"


@given(
    st.binary(max_size=100),
    st.sampled_from(["", STRUCTURED, BATCH, "application/json", "\x00", "text/plain; charset=x"]),
)
def test_any_bytes_are_decoded_or_told(body: bytes, content_type: str) -> None:
    for attributes in ({}, {"header.ce-id": "1"}):
        for found in decode(body, content_type, attributes=attributes):
            assert isinstance(found, Event) or found.errors


@given(
    st.recursive(
        st.none() | st.integers() | st.text() | st.just(MOVED),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(st.sampled_from([*MOVED, "plantid", "x", "X"]), inner, max_size=5)
            | inner.map(lambda value: {**MOVED, "data": value})
        ),
        max_leaves=6,
    )
)
def test_any_json_is_decoded_or_told(value: Any) -> None:
    for found in decode(json.dumps(value).encode()):
        assert isinstance(found, Event) or found.errors


# ── writing ─────────────────────────────────────────────────────────────────────────────────────


def write(payload: Any) -> bytes:
    assert CLOUDEVENTS.formatter is not None
    formatter = CLOUDEVENTS.formatter(CloudEventsOptions())
    assert formatter.content_type == STRUCTURED
    return formatter.format(payload)


def test_an_event_is_written_as_it_is() -> None:
    event = one(ext=5)
    assert parse_structured(write(to_json(event))) == event


@pytest.mark.parametrize(
    "payload", [{}, {"a": 1}, [], "text", None, {**MOVED, "id": ""}, {**MOVED, "data": float("nan")}]
)
def test_a_payload_that_is_no_event_is_refused(payload: Any) -> None:
    with pytest.raises(Invalid):
        write(payload)
