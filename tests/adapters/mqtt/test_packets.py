"""The bulk parser: every cut of the stream, every property length, and rubbish."""

from __future__ import annotations

from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from adapters.mqtt.packets import (
    SHORTEST,
    MalformedPacketError,
    Puback,
    Publishes,
    disconnect_reason,
    read_properties,
    read_puback,
    split,
    write_properties,
    write_publish,
)


class Publish(NamedTuple):
    first: int
    mid: int
    topic: bytes
    properties: bytes
    payload: bytes


def rows(publishes: Publishes) -> list[Publish]:
    return [Publish(*row) for row in zip(*publishes, strict=True)]


TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=50)


def _length(value: int) -> bytes:
    encoded = bytearray()
    while True:
        value, low = divmod(value, 128)
        encoded.append(low | 0x80 if value else low)
        if not value:
            return bytes(encoded)


def _packed(publish: Publish, *, version5: bool) -> bytes:
    body = len(publish.topic).to_bytes(2, "big") + publish.topic
    body += publish.mid.to_bytes(2, "big") if publish.mid else b""
    if version5:
        body += _length(len(publish.properties)) + publish.properties
    body += publish.payload
    return bytes([publish.first]) + _length(len(body)) + body


@st.composite
def publishes(draw: st.DrawFn, version5: bool = True) -> Publish:
    qos = draw(st.sampled_from([0, 1, 2]))
    return Publish(
        first=0x30 | qos << 1 | draw(st.sampled_from([0, 1, 8, 9])),
        mid=draw(st.integers(1, 65_535)) if qos else 0,
        topic=draw(st.binary(min_size=1, max_size=40)),
        properties=draw(st.sampled_from([b"", b"p" * 5, b"q" * 127, b"r" * 128, b"s" * 300, b"t" * 20_000]))
        if version5
        else b"",
        payload=draw(st.sampled_from([b"", b"x", b"y" * 120, b"z" * 20_000])),
    )


OTHERS = st.sampled_from([b"\xd0\x00", b"\x40\x02\x00\x01", b"\x90\x04\x00\x01\x00\x01"])


@given(st.data(), st.booleans())
def test_any_cut_of_the_stream_gives_the_same_packets(data: st.DataObject, version5: bool) -> None:
    packets = data.draw(st.lists(st.one_of(publishes(version5), OTHERS), max_size=6))
    stream = b"".join(p if isinstance(p, bytes) else _packed(p, version5=version5) for p in packets)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=5)))
    found: list[Publish] = []
    others: list[bytes] = []
    rest, needed = b"", SHORTEST
    for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True):
        rest += stream[start:end]
        if len(rest) < needed:
            continue
        part = split(rest, properties=version5)
        found += rows(part.publishes)
        others += part.others
        rest, needed = rest[part.used :], part.needed
        assert needed > len(rest)
    assert rest == b""
    assert found == [p for p in packets if isinstance(p, Publish)]
    assert others == [p for p in packets if isinstance(p, bytes)]


@given(st.binary(max_size=200), st.booleans())
def test_rubbish_is_malformed_or_waits_but_nothing_else(rubbish: bytes, version5: bool) -> None:
    try:
        part = split(rubbish, properties=version5)
    except MalformedPacketError:
        return
    assert 0 <= part.used <= len(rubbish)
    assert part.needed > len(rubbish) - part.used


@pytest.mark.parametrize(
    "packet",
    [
        b"\x30\x00",  # no topic length
        b"\x30\x02\x00\x00",  # an empty topic: topic aliases were not offered
        b"\x30\x03\x00\x05a",  # the topic ends beyond the packet
        b"\x32\x04\x00\x01a\x00",  # half a packet identifier
        b"\x36\x06\x00\x01a\x00\x01\x00",  # QoS 3
        b"\x32\x06\x00\x01a\x00\x00\x00",  # packet identifier 0
        b"\x32\x06\x00\x01a\x00\x01\x05",  # properties end beyond the packet
        b"\x30\xff\xff\xff\xff\x01",  # a length of five bytes
    ],
)
def test_what_no_broker_may_send_is_malformed(packet: bytes) -> None:
    with pytest.raises(MalformedPacketError):
        split(packet + bytes(2), properties=True)


@given(
    st.lists(st.tuples(TEXT, TEXT), max_size=4),
    TEXT,
    TEXT,
    st.binary(max_size=300),
    st.integers(0, 2**32 - 1),
)
def test_properties_are_read_as_paho_writes_them(
    user: list[tuple[str, str]], content_type: str, response_topic: str, correlation: bytes, expiry: int
) -> None:
    properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
    properties.PayloadFormatIndicator = 1
    properties.MessageExpiryInterval = expiry
    properties.ContentType = content_type
    properties.ResponseTopic = response_topic
    properties.CorrelationData = correlation
    properties.SubscriptionIdentifier = 268_435_455
    for pair in user:
        properties.UserProperty = pair
    packed = properties.pack()  # type: ignore[no-untyped-call]
    read = read_properties(_uncounted(packed))
    assert read.content_type == content_type
    assert read.attributes == {
        "message_expiry": expiry,
        "response_topic": response_topic,
        "correlation_data": correlation.hex(),
        **{f"property.{name}": value for name, value in user},
    }


def _uncounted(packed: bytes) -> bytes:
    start = next(index for index, byte in enumerate(packed) if byte < 0x80)
    return packed[start + 1 :]


@given(TEXT, st.dictionaries(TEXT, TEXT, max_size=3))
def test_properties_that_we_write_are_read_by_paho(content_type: str, user: dict[str, str]) -> None:
    properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
    packed = write_properties(content_type, user)
    _, size = properties.unpack(packed)  # type: ignore[no-untyped-call]
    read = properties.json()  # type: ignore[no-untyped-call]
    assert size == len(packed)
    assert read.get("ContentType", "") == content_type
    assert dict(read.get("UserProperty", ())) == user


@given(
    st.binary(min_size=1, max_size=40),
    st.sampled_from([b"", b"x", b"y" * 20_000]),
    st.integers(1, 65_535),
    st.sampled_from([0, 1]),
    st.booleans(),
    st.sampled_from([b"", b"p" * 5, b"q" * 300]),
)
def test_what_is_published_reads_as_it_was_meant(
    topic: bytes, payload: bytes, mid: int, qos: int, retain: bool, properties: bytes
) -> None:
    packet = write_publish(
        topic, payload, mid=mid, qos=qos, retain=retain, properties=_length(len(properties)) + properties
    )
    expected = Publish(0x30 | qos << 1 | retain, mid if qos else 0, topic, properties, payload)
    assert rows(split(packet, properties=True).publishes) == [expected]


@pytest.mark.parametrize(
    ("packet", "expected"),
    [
        (b"\x40\x02\x01\x02", Puback(258, 0, "")),
        (b"\x40\x03\x00\x01\x10", Puback(1, 0x10, "")),
        (b"\x40\x04\x00\x01\x97\x00", Puback(1, 0x97, "")),
        (b"\x40\x0e\x00\x01\x87\x0a\x26\x00\x01a\x00\x00\x1f\x00\x01b", Puback(1, 0x87, "b")),
        (b"\xd0\x00", None),
    ],
)
def test_an_acknowledgement_is_read(packet: bytes, expected: Puback | None) -> None:
    assert read_puback(packet) == expected


def test_an_acknowledgement_of_nothing_is_an_error() -> None:
    with pytest.raises(IndexError):
        read_puback(b"\x40\x00")


@pytest.mark.parametrize(
    ("packet", "reason"), [(b"\xe0\x00", 0), (b"\xe0\x01\x8e", 0x8E), (b"\xd0\x00", None)]
)
def test_the_reason_of_a_disconnect_is_read(packet: bytes, reason: int | None) -> None:
    assert disconnect_reason(packet) == reason


@given(st.binary(max_size=60))
def test_unreadable_properties_never_raise(packed: bytes) -> None:
    read_properties(packed)


def test_a_text_that_does_not_fit_into_a_property_is_refused() -> None:
    with pytest.raises(ValueError, match="does not fit"):
        write_properties("", {"idempotency-key": "x" * 70_000})
