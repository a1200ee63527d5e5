"""Raw messages → events: identity, time, quality, states, faults."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.conformance.hub import Hub
from adapters.opcua.decoder import OpcuaDecoder
from adapters.opcua.reading import (
    CONTENT_TYPE,
    UNREADABLE,
    Gap,
    Item,
    Note,
    Notification,
    Reading,
    Table,
    encode_body,
)
from canonical.catalogue import validate
from canonical.errors import Invalid
from canonical.event import Event, decode, encode
from canonical.ports import RawMessage
from tests.adapters.opcua.running import EQUIPMENT, options

AT = "2026-03-31T06:00:00.500000Z"
LATER = "2026-03-31T06:00:01Z"
RECEIVED = datetime(2026, 3, 31, 6, 0, 2, tzinfo=UTC)
NODE = "nsu=urn:peer:machine;s=speed"
STATE = {
    "node": "nsu=urn:x;s=state",
    "tag": "state",
    "states": {"0": "stopped", "2": "execute", "true": "idle"},
}


def decoder() -> OpcuaDecoder:
    settings = options("opc.tcp://x", "speed", STATE)
    return OpcuaDecoder(settings, Hub(Path("unused")).new_context())


def raw(body: bytes, *, content_type: str = CONTENT_TYPE) -> RawMessage:
    return RawMessage(adapter="press", id="e-1", body=body, received_at=RECEIVED, content_type=content_type)


def reading(value: Any, *, tag: str = "speed", **more: Any) -> Reading:
    fields = {"node": NODE, "type": "Double", "source_time": AT, "equipment": EQUIPMENT, **more}
    return Reading(tag=tag, value=value, **fields)


def notification(*readings: Reading) -> RawMessage:
    return raw(encode_body(Notification(session="s", subscription=1, sequence=1, values=list(readings))))


def decoded(*readings: Reading, state: bytes | None = None) -> tuple[bytes | None, list[Event | Invalid]]:
    state, found = decoder().decode(state, notification(*readings))
    return state, list(found)


def event(*readings: Reading, state: bytes | None = None) -> Event:
    (found,) = decoded(*readings, state=state)[1]
    assert isinstance(found, Event)
    assert validate(found.type, found.data) == []
    assert decode(encode(found)) == found
    return found


def test_the_same_value_time_and_status_are_the_same_event() -> None:
    assert event(reading(1.5)).id == event(reading(1.5, server_time=LATER)).id
    others = [
        reading(2.5),
        reading(1.5, status=0x40000000),
        reading(1.5, source_time=LATER),
        reading(1.5, uom="CEL"),
    ]
    assert len({event(one).id for one in (reading(1.5), *others)}) == 5


def test_the_same_again_within_a_message_is_another_event() -> None:
    _, found = decoded(reading(1.0), reading(2.0), reading(1.0))
    ids = [one.id for one in found if isinstance(one, Event)]
    assert len(set(ids)) == 3
    assert ids[2] == f"{ids[0]}~1"


@pytest.mark.parametrize(
    ("times", "expected", "basis"),
    [
        ({"source_time": AT, "server_time": LATER}, AT, None),
        ({"source_time": None, "server_time": LATER}, LATER, "server"),
        ({"source_time": None}, "2026-03-31T06:00:02Z", "received"),
    ],
)
def test_the_time_is_the_sources_or_says_whose_it_is(
    times: dict[str, Any], expected: str, basis: str | None
) -> None:
    found = event(reading(1.0, **times))
    assert found.data["source_time"] == expected
    assert found.time == datetime.fromisoformat(expected)
    assert found.extensions.get("timesource") == basis
    assert found.recordedtime == RECEIVED


@pytest.mark.parametrize(
    ("status", "quality"),
    [(0, "good"), (0x480, "good"), (0x40000000, "uncertain"), (0x80340000, "bad"), (0xC0000000, "bad")],
)
def test_the_severity_is_the_quality(status: int, quality: str) -> None:
    found = event(reading(1.0, status=status))
    assert found.data["quality"] == quality
    assert found.data.get("status_code") == (status or None)


@pytest.mark.parametrize("value", ["NaN", "Infinity", "-Infinity"])
def test_what_is_no_number_is_null_and_bad(value: str) -> None:
    assert event(reading(value)).data["value"] is None
    assert event(reading(value)).data["quality"] == "bad"
    assert event(reading([1.0, value], type="Float[]")).data["value"] == [1.0, None]


def test_a_text_that_says_nan_stays_a_text() -> None:
    found = event(reading("NaN", type="String"))
    assert (found.data["value"], found.data["quality"]) == ("NaN", "good")


@pytest.mark.parametrize("value", [2**64 - 1, -(2**63), -12, True, "000123", [["a"], ["b"]]])
def test_values_stay_exactly_what_they_are(value: Any) -> None:
    found = event(reading(value, type="Any"))
    assert (found.data["value"], type(found.data["value"])) == (value, type(value))


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        ({"type_id": "i=886", "body": ""}, "ExtensionObject"),
        ([{"type_id": "i=886", "body": ""}], "ExtensionObject[]"),
        ([1, {"type_id": "i=886", "body": ""}], "Variant[]"),
        ([[[1]]], "Int32[]"),
    ],
)
def test_what_telemetry_cannot_say_is_invalid_and_names_the_tag(value: Any, kind: str) -> None:
    _, (bad, good) = decoded(reading(value, type=kind), reading(1.0))
    assert isinstance(good, Event)
    assert isinstance(bad, Invalid)
    assert "'speed'" in bad.message
    assert bad.context["node"] == NODE


def test_a_state_remembers_the_one_before() -> None:
    state, (first,) = decoded(reading(0, tag="state", type="Int32"))
    again, found = decoded(reading(0, tag="state", type="Int32", source_time=LATER), state=state)
    assert found == []
    second = event(reading(2, tag="state", type="Int32", source_time=LATER), state=again)
    assert isinstance(first, Event)
    assert first.data == {"state": "stopped", "previous": None, "entered_at": AT, "raw_state": 0}
    assert second.data == {"state": "execute", "previous": "stopped", "entered_at": LATER, "raw_state": 2}
    assert second.partitionkey == f"E:{EQUIPMENT}"


def test_states_may_be_texts_floats_and_booleans() -> None:
    assert event(reading(2.0, tag="state")).data["state"] == "execute"
    assert event(reading(value=True, tag="state", type="Boolean")).data["raw_state"] == "true"


def test_a_state_of_bad_quality_is_a_bad_measurement() -> None:
    state, (found,) = decoded(reading(2, tag="state", status=0x80000000))
    assert isinstance(found, Event)
    assert found.type.endswith("measurement.recorded.v1")
    assert state is None


def test_a_note_is_an_event_per_equipment() -> None:
    gap = Gap(from_=AT, to=LATER, reason="queue_overflow", tags=["speed"])
    note = Note(
        session="s", status="online", at=LATER, reason="x", equipment=["a/b", "a/c"], last_seq=7, gap=gap
    )
    _, found = decoder().decode(None, raw(encode_body(note)))
    events = [one for one in found if isinstance(one, Event)]
    assert [one.subject for one in events] == ["a/b", "a/c"]
    assert len({one.id for one in events}) == 2
    assert events[0].data == {
        "status": "online",
        "session": "s",
        "last_seq": 7,
        "gap": {"from": AT, "to": LATER, "reason": "queue_overflow", "tags": ["speed"]},
    }
    assert validate(events[0].type, events[0].data) == []


def test_tags_that_are_no_longer_configured_are_decoded_all_the_same() -> None:
    assert event(reading(1.0, tag="gone")).data["tag"] == "gone"


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'{"kind":"values"}', b"[" * 100_000, b"\xff"])
def test_rubbish_is_invalid(body: bytes) -> None:
    _, (found,) = decoder().decode(None, raw(body))
    assert isinstance(found, Invalid)


def table(*readings: Reading, **more: Any) -> RawMessage:
    """The same readings as ``notification`` has, as a source writes them."""
    items = [Item(node=one.node, tag=one.tag, equipment=one.equipment, uom=one.uom) for one in readings]
    fields: dict[str, Any] = {
        "items": msgspec.Raw(msgspec.json.encode(items)),
        "values": [one.value for one in readings],
        "type": [one.type for one in readings],
        "status": [one.status for one in readings],
        "source_ticks": [ticks(one.source_time) for one in readings],
        "server_ticks": [ticks(one.server_time) for one in readings],
    }
    return raw(encode_body(Table(session="s", subscription=1, sequence=1, **{**fields, **more})))


def ticks(at: str | None) -> int:
    since = datetime.fromisoformat(at) - datetime(1601, 1, 1, tzinfo=UTC) if at else timedelta()
    return since // timedelta(microseconds=1) * 10


@pytest.mark.parametrize(
    "more",
    [{"values": [1.0, 2.0]}, {"type": []}, {"source_ticks": [1, 2]}, {"items": msgspec.Raw(b"[[1]]")}],
)
def test_a_table_whose_lists_do_not_fit_together_is_invalid(more: dict[str, Any]) -> None:
    _, (found,) = decoder().decode(b"kept", table(reading(1.0), **more))
    assert isinstance(found, Invalid)


VALUES = st.one_of(
    st.floats(allow_nan=False, allow_infinity=False),
    st.integers(-(2**63), 2**64 - 1),
    st.booleans(),
    st.sampled_from(
        [None, "NaN", "text", 0, 2, 7, [1.5, "Infinity"], [[[1]]], {"type_id": "i=1", "body": ""}]
    ),
)
READINGS = st.builds(
    reading,
    VALUES,
    tag=st.sampled_from(["speed", "state", "gone"]),
    type=st.sampled_from(["Double", "Int32", "String", "ExtensionObject", "Double[]"]),
    status=st.sampled_from([0, 0, 0x40000000, 0x80000000, 0x480]),
    source_time=st.sampled_from([AT, LATER, None]),
    server_time=st.sampled_from([AT, None]),
    uom=st.sampled_from([None, "CEL"]),
)


@given(st.lists(st.lists(READINGS, max_size=6), max_size=4))
def test_a_table_tells_what_its_readings_tell(messages: list[list[Reading]]) -> None:
    one, other = decoder(), decoder()
    state: bytes | None = None
    for readings in messages:
        kept, expected = one.decode(state, notification(*readings))
        state, found = other.decode(state, table(*readings))
        assert state == kept
        assert [_told(each) for each in found] == [_told(each) for each in expected]


def _told(found: Event | Invalid) -> Any:
    return found if isinstance(found, Event) else (found.code, found.message, found.context)


def test_an_unreadable_notification_is_invalid() -> None:
    _, (found,) = decoder().decode(b"kept", raw(b"\x00\x01", content_type=UNREADABLE))
    assert isinstance(found, Invalid)
    assert found.code == "unreadable"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)


FIELDS = {
    **dict.fromkeys(Reading.__struct_fields__, JSON),
    **dict.fromkeys(("source_time", "server_time", "uom"), st.none() | st.text()),
    **dict.fromkeys(("node", "tag", "equipment"), st.text()),
    "status": st.integers(-1, 2**40),
}


@given(
    st.fixed_dictionaries({}, optional=FIELDS),
    st.binary(max_size=20),
)
def test_the_decoder_never_raises(fields: dict[str, Any], state: bytes) -> None:
    values = [{"node": "i=1", "tag": "state", "equipment": EQUIPMENT, **fields}]
    body = {"kind": "values", "session": "", "subscription": 1, "sequence": 1, "values": values}
    found = list(decoder().decode(state, raw(msgspec.json.encode(body)))[1])
    assert all(isinstance(one, Event | Invalid) for one in found)


def test_the_plants_time_zone_changes_nothing() -> None:
    context = Hub(Path("unused")).new_context()
    context.timezone = ZoneInfo("Asia/Tokyo")
    found = OpcuaDecoder(options("opc.tcp://x", "speed"), context).decode(None, notification(reading(1.0)))
    assert next(iter(found[1])) == event(reading(1.0))
