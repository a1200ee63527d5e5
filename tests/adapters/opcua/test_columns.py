"""Notifications by columns: the same as one value after the other, read and written."""

from __future__ import annotations

import struct
from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from adapters.opcua.builtin import FORMS, TYPES, finite, instant, instants
from adapters.opcua.columns import Change, Columns, read_changes, read_columns
from adapters.opcua.latest import Latest
from adapters.opcua.reading import Item, Notification, Reading, Table, decode_body, encode_body
from adapters.opcua.writing import Items, write_table

NOON = 134194104000000000
TICKS = st.one_of(
    st.integers(NOON - 5, NOON + 30_000_000),
    st.integers(0, 30),
    st.integers(-(2**63), 2**63 - 1),
    st.sampled_from([NOON, NOON + 1, NOON + 9, NOON + 10, 0, 2**63 - 1]),
)
TAGS = [(f"ns=2;s={name}", name, "acme/aachen/line-1") for name in ("a", 'quo"ted', "Öl", "b,c", "e|f")]


@st.composite
def items(draw: st.DrawFn) -> tuple[bytes, Change]:
    """One item as it is encoded, and what it says (OPC 10000-6, 5.2.2.17)."""
    handle, mask = draw(st.integers(0, len(TAGS) - 1)), draw(st.sampled_from([0x3D, 0x0D, 0x2D, 0x3F, 0, 63]))
    mask = draw(st.one_of(st.just(mask), st.integers(0, 63)))
    encoded, value, kind = struct.pack("<IB", handle, mask), None, "Null"
    if mask & 1:
        variant = draw(st.sampled_from([11, 11, 11, *FORMS, 12]))
        value, kind = _value(draw, variant), TYPES[variant]
        encoded += bytes([variant]) + _packed(variant, value)
        value = finite(value) if isinstance(value, float) else value
    status, source, server = draw(st.sampled_from([0, 0x80000000, 0x480])), draw(TICKS), draw(TICKS)
    parts = [(2, "I", status), (4, "q", source), (16, "H", 7), (8, "q", server), (32, "H", 9)]
    encoded += b"".join(struct.pack(f"<{form}", part) for bit, form, part in parts if mask & bit)
    change = Change(
        handle, value, kind, status * bool(mask & 2), source * bool(mask & 4), server * bool(mask & 8)
    )
    return encoded, change


def _value(draw: st.DrawFn, variant: int) -> Any:
    if variant == 12:
        return draw(st.one_of(st.none(), st.sampled_from(["", "a,b", 'say "x"', "c|d", "Öl"])))
    if FORMS[variant] == "?":
        return draw(st.booleans())
    if FORMS[variant] in "fd":
        return draw(st.floats(width=32))
    bits = struct.calcsize(f"<{FORMS[variant]}") * 8
    low = 0 if FORMS[variant].isupper() else -(2 ** (bits - 1))
    return draw(st.integers(low, low + 2**bits - 1))


def _packed(variant: int, value: Any) -> bytes:
    if variant != 12:
        return struct.pack(f"<{FORMS[variant]}", value)
    if value is None:
        return struct.pack("<i", -1)
    text: bytes = value.encode()
    return struct.pack("<i", len(text)) + text


def notification(encoded: list[bytes]) -> bytes:
    return struct.pack("<i", len(encoded)) + b"".join(encoded) + struct.pack("<i", -1)


@given(st.lists(items(), max_size=12), st.integers(1, 40))
def test_items_are_read_in_order_whatever_stands_beside_them(
    found: list[tuple[bytes, Change]], times: int
) -> None:
    data = notification([encoded for encoded, _ in found] * times)
    assert read_changes(data) == [change for _, change in found] * times


@given(
    st.lists(
        st.tuples(st.integers(0, 2**32 - 1), st.floats(allow_nan=False), st.integers(0, 2**63 - 1)),
        min_size=1,
        max_size=60,
    ),
    st.sampled_from([0x0D, 0x3D, 0x0F, 0x01, 0x05]),
)
def test_many_items_that_look_alike_are_read_together(items: list[tuple[int, float, int]], mask: int) -> None:
    expected, encoded = [], []
    for handle, value, ticks in items:
        parts = [(2, "I", 0x480), (4, "q", ticks), (16, "H", 7), (8, "q", NOON), (32, "H", 9)]
        more = b"".join(struct.pack(f"<{form}", part) for bit, form, part in parts if mask & bit)
        encoded.append(struct.pack("<IBBd", handle, mask, 11, value) + more)
        said = 0x480 * bool(mask & 2), ticks * bool(mask & 4), NOON * bool(mask & 8)
        expected.append((handle, finite(value), "Double", *said))
    for times in (1, 30):
        columns = read_columns([notification(encoded * times)])
        assert list(zip(*columns, strict=True)) == expected * times


def test_more_items_than_are_looked_at_together_are_read() -> None:
    item = struct.pack("<IBBdqHqH", 1, 0x3D, 11, 1.5, NOON, 7, NOON, 9)
    assert read_changes(notification([item] * 5000)) == [Change(1, 1.5, "Double", 0, NOON, NOON)] * 5000


@given(st.lists(items(), min_size=1, max_size=12), st.booleans())
def test_a_body_says_what_its_notification_says(found: list[tuple[bytes, Change]], with_units: bool) -> None:
    units = {0: "CEL", 2: 'in"'} if with_units else {}
    changes = [change for _, change in found]
    readings = [
        Reading(
            node=TAGS[change.handle][0],
            tag=TAGS[change.handle][1],
            equipment=TAGS[change.handle][2],
            value=change.value,
            type=change.type,
            status=change.status,
            source_time=instant(change.source_ticks),
            server_time=instant(change.server_ticks),
            uom=units.get(change.handle),
        )
        for change in changes
    ]
    columns = read_columns([notification([encoded for encoded, _ in found])])
    items = Items(TAGS, units).of(columns.handles)
    body = write_table(columns, items, session='s"1', subscription=5, sequence=7)
    assert decode_body(body) == Notification(session='s"1', subscription=5, sequence=7, values=readings)


def test_a_body_is_written_as_its_table_is_encoded() -> None:
    columns = Columns([1, 0], [1.5, "x"], ["Double", "String"], [0, 0], [NOON, 0], [NOON, NOON])
    table = Table(
        session='s"1',
        subscription=5,
        sequence=7,
        items=msgspec.Raw(
            msgspec.json.encode(
                [
                    Item(node=TAGS[1][0], tag=TAGS[1][1], equipment=TAGS[1][2], uom="CEL"),
                    Item(node=TAGS[0][0], tag=TAGS[0][1], equipment=TAGS[0][2]),
                ]
            )
        ),
        values=[1.5, "x"],
        type=["Double", "String"],
        status=0,
        source_ticks=[NOON, 0],
        server_ticks=[NOON, NOON],
    )
    items = Items(TAGS, {1: "CEL"}).of(columns.handles)
    assert write_table(columns, items, session='s"1', subscription=5, sequence=7) == encode_body(table)


def test_items_are_those_of_the_handles_whatever_came_before() -> None:
    items = Items(TAGS, {})
    for handles in ([], [0, 1], [0, 1], [1, 0], [4]):
        assert items.of(list(handles)) == Items(TAGS, {}).of(handles)


@given(st.lists(TICKS, max_size=20))
def test_many_times_are_told_as_each_of_them(ticks: list[int]) -> None:
    assert instants(set(ticks)) == {each: instant(each) for each in ticks}


def test_items_of_unknown_handles_are_left_out() -> None:
    columns = Columns([1, 9, 0], [1.5, 2.5, 3.5], ["Double"] * 3, [0] * 3, [NOON] * 3, [0] * 3)
    assert columns.below(2) == Columns([1, 0], [1.5, 3.5], ["Double"] * 2, [0] * 2, [NOON] * 2, [0] * 2)


PARTS = st.lists(st.sampled_from([[0, 1], [0, 1, 1], [2], [1, 0]]), max_size=80)


@given(PARTS, st.sets(st.integers(0, 80)))
def test_the_last_time_of_each_item_is_known(messages: list[list[int]], asked: set[int]) -> None:
    latest, expected = Latest(), dict[int, int]()
    for number, handles in enumerate(messages):
        ticks = [NOON + number * 10 + place for place in range(len(handles))]
        latest.add(handles, ticks)
        expected.update(zip(handles, ticks, strict=True))
        if number in asked:
            assert latest.ticks() == expected
    assert latest.ticks() == expected
