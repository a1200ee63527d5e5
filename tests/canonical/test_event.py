"""The envelope: what is written, that it comes back, and what makes two events the same."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from canonical.event import (
    Event,
    decode,
    encode,
    encode_lines,
    from_json,
    new_id,
    payload_hash,
    payload_hashes,
    to_json,
)

MOMENT = datetime(2026, 3, 31, 10, 0, 0, 250_000, tzinfo=UTC)


def event(**fields: Any) -> Event:
    return Event(**{"id": "1", "source": "/plants/aachen/adapters/mes", "type": "t", **fields})


def test_what_is_not_set_is_not_written() -> None:
    written = msgspec.json.decode(encode(event(data={"a": 1})))
    assert written == {
        "specversion": "1.0",
        "id": "1",
        "source": "/plants/aachen/adapters/mes",
        "type": "t",
        "data": {"a": 1},
    }


def test_times_are_rfc_3339_and_bytes_are_base64() -> None:
    written = to_json(event(time=MOMENT, recordedtime=MOMENT, data_base64=b"\x00\xff"))
    assert written["time"] == written["recordedtime"] == "2026-03-31T10:00:00.250000Z"
    assert written["data_base64"] == "AP8="


def test_extensions_stand_beside_the_other_attributes() -> None:
    subject = event(extensions={"traceid": "x", "count": 3, "flag": True})
    assert msgspec.json.decode(encode(subject)) == to_json(subject)
    assert to_json(subject).keys() >= {"traceid", "count", "flag"}
    assert "extensions" not in to_json(subject)
    assert decode(encode(subject)) == subject


def test_an_extension_may_be_called_extensions() -> None:
    subject = event(extensions={"extensions": "x"})
    assert decode(encode(subject)) == subject


def test_a_null_extension_is_none() -> None:
    assert from_json({**to_json(event()), "other": None}) == event()


def test_an_event_is_never_changed() -> None:
    with pytest.raises(AttributeError):
        event().id = "2"  # type: ignore[misc]


def test_lines_are_ended() -> None:
    lines = encode_lines([event(id="1"), event(id="2", extensions={"x": 1})])
    assert lines.count(b"\n") == 2
    assert lines.endswith(b"\n")
    assert [decode(line).id for line in lines.splitlines()] == ["1", "2"]
    assert encode_lines([]) == b""


attributes = st.fixed_dictionaries(
    {"id": st.text(min_size=1), "source": st.text(min_size=1), "type": st.text(min_size=1)},
    optional={
        "time": st.datetimes(timezones=st.just(UTC)),
        "subject": st.text(),
        "plantid": st.text(),
        "sequence": st.text(),
        "data": st.recursive(
            st.booleans() | st.integers() | st.text() | st.floats(allow_nan=False, allow_infinity=False),
            lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
            max_leaves=8,
        ),
        "data_base64": st.binary(),
        "extensions": st.dictionaries(
            st.from_regex(r"x[a-z0-9]{1,8}", fullmatch=True),
            st.text() | st.integers(-(2**31), 2**31 - 1) | st.booleans(),
            max_size=3,
        ),
    },
)


@given(attributes)
def test_any_event_comes_back_from_the_journal(fields: dict[str, Any]) -> None:
    subject = Event(**fields)
    line = encode(subject)
    assert b"\n" not in line
    assert decode(line) == subject
    assert decode(line) == from_json(msgspec.json.decode(line))
    assert payload_hash(decode(line)) == payload_hash(subject)


def test_the_payload_hash_covers_type_subject_and_data() -> None:
    base = event(subject="s", data={"a": 1, "b": 2})
    assert len(payload_hash(base)) == 8
    assert payload_hash(base) == payload_hash(event(subject="s", data={"b": 2, "a": 1}))
    for other in (
        event(subject="s2", data={"a": 1, "b": 2}),
        event(subject="s", data={"a": 1, "b": 3}),
        event(subject="s", data={"a": 1, "b": 2}, type="t2"),
        event(subject="s", data={"a": 1, "b": 2}, data_base64=b"x"),
    ):
        assert payload_hash(base) != payload_hash(other)


def test_the_payload_hash_leaves_out_when_and_by_whom() -> None:
    later = timedelta(hours=1)
    assert payload_hash(event(time=MOMENT, data=1)) == payload_hash(
        event(id="2", time=MOMENT + later, recordedtime=MOMENT, srcmsgid="m", extensions={"x": 1}, data=1)
    )


@given(st.lists(attributes, max_size=4))
def test_the_hashes_of_a_batch_are_those_of_its_events(several: list[dict[str, Any]]) -> None:
    events = [Event(**fields) for fields in several]
    assert payload_hashes(events) == [payload_hash(each) for each in events]


def test_json_with_line_breaks_is_hashed_as_one() -> None:
    events = [event(data=1), event(data=msgspec.Raw(b'{\n"a":\r\n1}')), event(data=3)]
    assert payload_hashes(events) == [payload_hash(each) for each in events]


def test_ids_are_unique_and_sort_by_time() -> None:
    ids = [new_id() for _ in range(2000)]
    assert ids == sorted(ids)
    assert len(set(ids)) == len(ids)


def test_times_with_another_offset_are_the_same_moment() -> None:
    line = encode(event(time=MOMENT.astimezone(timezone(timedelta(hours=2)))))
    assert decode(line).time == MOMENT
