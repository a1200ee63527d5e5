"""Publish responses as bytes: against another encoder, and rubbish."""

import math
import struct
import uuid
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import pytest
from asyncua import ua as library
from asyncua.ua.ua_binary import struct_to_binary
from hypothesis import given
from hypothesis import strategies as st

from adapters.opcua.builtin import WireError, instant
from adapters.opcua.columns import Change, read_changes
from adapters.opcua.notification import read_publish_response, read_republish_response
from adapters.opcua.variant import Cursor

ua: Any = library  # its types are stricter than what it takes
AT = datetime(2026, 3, 31, 6, 0, tzinfo=UTC)
TICKS = 134194104000000000
T = ua.VariantType


def encoded(*values: Any) -> bytes:
    """A DataChangeNotification as the library writes it; handles are the places."""
    items = [ua.MonitoredItemNotification(ClientHandle=n, Value=value) for n, value in enumerate(values)]
    return bytes(struct_to_binary(ua.DataChangeNotification(MonitoredItems=items)))


def one(value: Any, kind: Any, **more: Any) -> Change:
    (change,) = read_changes(encoded(ua.DataValue(ua.Variant(value, kind, **more))))
    return change


@pytest.mark.parametrize(
    ("value", "kind", "expected"),
    [
        (True, T.Boolean, True),
        (-128, T.SByte, -128),
        (255, T.Byte, 255),
        (-12, T.Int32, -12),
        (2**32 - 1, T.UInt32, 4294967295),
        (-(2**63), T.Int64, -(2**63)),
        (2**64 - 1, T.UInt64, 2**64 - 1),
        (0.1, T.Double, 0.1),
        (0.5, T.Float, 0.5),
        (math.nan, T.Double, "NaN"),
        (-math.inf, T.Float, "-Infinity"),
        ("0815", T.String, "0815"),
        ("", T.String, ""),
        (None, T.String, None),
        ("Öl 油", T.String, "Öl 油"),
        (AT, T.DateTime, "2026-03-31T06:00:00Z"),
        (uuid.UUID(int=5), T.Guid, "00000000-0000-0000-0000-000000000005"),
        (b"\x00\xff", T.ByteString, "AP8="),
        (ua.NodeId(5, 0), T.NodeId, "i=5"),
        (ua.NodeId(70_000, 3), T.NodeId, "ns=3;i=70000"),
        (ua.NodeId(uuid.UUID(int=5), 2), T.NodeId, "ns=2;g=00000000-0000-0000-0000-000000000005"),
        (ua.NodeId(b"\xff", 2, ua.NodeIdType.ByteString), T.NodeId, "ns=2;b=/w=="),
        (ua.StatusCode(ua.UInt32(0x80340000)), T.StatusCode, 0x80340000),
        (ua.QualifiedName("x", 3), T.QualifiedName, "3:x"),
        (ua.LocalizedText("Öl", "de"), T.LocalizedText, "Öl"),
        ([1, 2], T.Int16, [1, 2]),
        ([], T.Double, []),
        ([math.inf], T.Double, ["Infinity"]),
        ([[1, 2], [3, 4], [5, 6]], T.Int32, [[1, 2], [3, 4], [5, 6]]),
        ([ua.Variant(1, T.Int32), ua.Variant("a", T.String)], T.Variant, [1, "a"]),
    ],
)
def test_values_are_read_as_the_other_stack_writes_them(value: Any, kind: Any, expected: Any) -> None:
    change = one(value, kind)
    assert (change.value, type(change.value)) == (expected, type(expected))
    assert change.type.removesuffix("[]") == kind.name


def test_status_and_times_are_read_with_and_without_a_value() -> None:
    full = ua.DataValue(
        ua.Variant(1.5, T.Double),
        StatusCode=ua.StatusCode(ua.UInt32(0x40000480)),
        SourceTimestamp=AT,
        ServerTimestamp=AT,
    )
    bare = ua.DataValue(StatusCode=ua.StatusCode(ua.UInt32(0x80000000)))
    assert read_changes(encoded(full, bare, full)) == [
        Change(0, 1.5, "Double", 0x40000480, TICKS, TICKS),
        Change(1, None, "Null", 0x80000000, 0, 0),
        Change(2, 1.5, "Double", 0x40000480, TICKS, TICKS),
    ]


def test_picoseconds_follow_their_timestamps() -> None:
    """OPC 10000-6, 5.2.2.17; written by hand, since the library writes them in another order."""
    value = struct.pack("<IBBd", 3, 0b111101, 11, 1.5)
    times = struct.pack("<qHqH", TICKS, 7, TICKS + 10, 8)
    assert read_changes(struct.pack("<i", 1) + value + times) == [
        Change(3, 1.5, "Double", 0, TICKS, TICKS + 10)
    ]


def test_a_structure_keeps_its_type_and_bytes() -> None:
    change = one(ua.Range(Low=1.0, High=2.0), T.ExtensionObject)
    assert change.value == {"type_id": "i=886", "body": "AAAAAAAA8D8AAAAAAAAAQA=="}


@pytest.mark.parametrize(
    ("ticks", "text"),
    [
        (0, None),
        (-1, None),
        (TICKS, "2026-03-31T06:00:00Z"),
        (TICKS + 1_234_567, "2026-03-31T06:00:00.123456Z"),
        (2**63 - 1, "9999-12-31T23:59:59Z"),
    ],
)
def test_times_have_their_edges(ticks: int, text: str | None) -> None:
    assert instant(ticks) == text


def response(*parts: Any, sequence: int = 7) -> bytes:
    """A PublishResponse without its ResponseHeader."""
    message = ua.NotificationMessage(SequenceNumber=ua.Counter(sequence), NotificationData=list(parts))
    result = ua.PublishResult(ua.IntegerId(5), [ua.Counter(6), ua.Counter(7)], True, message)
    return bytes(struct_to_binary(result))


def test_a_publish_response_gives_its_parts() -> None:
    item = ua.MonitoredItemNotification(ClientHandle=3, Value=ua.DataValue(ua.Variant(1, T.Int32)))
    data = ua.DataChangeNotification(MonitoredItems=[item])
    ended = ua.StatusChangeNotification(Status=ua.StatusCode(ua.UInt32(0x800A0000)))
    found = read_publish_response(response(data, ended))
    assert (found.subscription_id, found.sequence, found.ended, found.keep_alive) == (5, 7, 0x800A0000, False)
    assert [change.handle for part in found.data for change in read_changes(part)] == [3]


RESPONSE = response(ua.DataChangeNotification(MonitoredItems=[]))


@given(st.integers(min_value=0, max_value=len(RESPONSE) - 9))  # the last eight bytes are results
def test_a_response_that_is_cut_off_is_refused(size: int) -> None:
    assert read_publish_response(RESPONSE[: size + len(RESPONSE)]).data == [b"\0" * 8]
    with pytest.raises(WireError):
        read_publish_response(RESPONSE[:size])


def test_a_keep_alive_has_no_parts() -> None:
    found = read_publish_response(response())
    assert (found.keep_alive, found.data, found.ended, found.sequence) == (True, [], None, 7)


def test_a_republish_response_is_a_message() -> None:
    message = ua.NotificationMessage(SequenceNumber=ua.Counter(9))
    found = read_republish_response(bytes(struct_to_binary(message)), 5)
    assert (found.subscription_id, found.sequence) == (5, 9)


WHOLE = encoded(
    ua.DataValue(ua.Variant("text", T.String), SourceTimestamp=AT),
    ua.DataValue(ua.Variant([1.5, 2.5], T.Double), ServerTimestamp=AT),
    ua.DataValue(ua.Variant(ua.LocalizedText("x"), T.LocalizedText)),
)


@given(st.integers(min_value=0, max_value=len(WHOLE) - 5))  # the last four bytes are no diagnostics
def test_what_is_cut_off_is_refused(size: int) -> None:
    with pytest.raises(WireError):
        read_changes(WHOLE[:size])


@given(st.binary(max_size=200))
def test_rubbish_is_refused_or_read_but_never_more(body: bytes) -> None:
    for read in (read_changes, read_publish_response):
        with suppress(WireError):
            read(body)


@given(st.integers(min_value=0, max_value=len(WHOLE) - 1), st.integers(min_value=0, max_value=255))
def test_a_changed_byte_is_refused_or_read_but_never_more(at: int, byte: int) -> None:
    body = WHOLE[:at] + bytes([byte]) + WHOLE[at + 1 :]
    with suppress(WireError):
        read_changes(body)


def test_hostile_nesting_is_refused() -> None:
    with pytest.raises(WireError, match="nested too deep"):
        Cursor(b"\x98\x01\x00\x00\x00" * 10_000).variant()


def test_a_hostile_length_allocates_nothing() -> None:
    with pytest.raises(WireError):
        read_changes(b"\xff\xff\xff\x7f")
