"""Messages written together are, byte for byte, those that are written one by one."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from adapters.amqp.letter import Writing
from canonical.ports import Delivery
from tests.adapters.amqp.deliveries import delivery

TARGET: dict[str, Any] = {"routing_key": "readings", "headers": {"plant": "brno", "line": 7}}
times = st.integers(0, 4_000_000_000_000).map(lambda ms: datetime.fromtimestamp(ms / 1000, UTC))
payloads = st.binary(min_size=1, max_size=300)


def alike(parts: list[tuple[datetime, bytes]], target: dict[str, Any] = TARGET) -> list[Delivery]:
    """Deliveries that differ in key, time and payload."""
    found = []
    for number, (time, payload) in enumerate(parts, start=100):
        one = delivery(number, payload=payload)
        found.append(
            structs.replace(
                one, event=structs.replace(one.event, time=time, correlationid=None), target=target
            )
        )
    return found


def together(deliveries: list[Delivery]) -> list[bytes] | None:
    writing = Writing(channel=3, frame_max=131_072)
    return writing.frames_alike(deliveries, writing.envelope(deliveries[0]))


def alone(deliveries: list[Delivery]) -> list[bytes]:
    writing = Writing(channel=3, frame_max=131_072)
    return [writing.frames(each, writing.envelope(each)) for each in deliveries]


@given(parts=st.lists(st.tuples(times, payloads), min_size=1, max_size=5), bare=st.booleans())
def test_alike_messages_are_those_of_each(parts: list[tuple[datetime, bytes]], *, bare: bool) -> None:
    deliveries = alike(parts, {"routing_key": "q", "mandatory": False} if bare else TARGET)
    assert together(deliveries) == alone(deliveries)


NOW = datetime(2026, 5, 4, 3, 2, 1, tzinfo=UTC)
PAIR = alike([(NOW, b"1"), (NOW, b"2")])


@pytest.mark.parametrize(
    "change",
    [
        {"event": structs.replace(PAIR[1].event, correlationid="order-7")},
        {"event": structs.replace(PAIR[1].event, time=None)},
        {"event": structs.replace(PAIR[1].event, time=datetime(1960, 1, 1, tzinfo=UTC))},
        {"event": structs.replace(PAIR[1].event, type="com.crossplant.other.v1")},
        {"content_type": "text/plain"},
        {"target": {"routing_key": "other"}},
        {"payload": b""},
        {"payload": b"x" * 131_072},
        {"idempotency_key": "k"},
        {"idempotency_key": "k" * 256},
    ],
)
def test_what_has_more_of_its_own_is_written_one_by_one(change: dict[str, Any]) -> None:
    assert together([PAIR[0], structs.replace(PAIR[1], **change)]) is None
    assert together(PAIR) == alone(PAIR)


def test_events_as_cloudevents_have_headers_of_their_own() -> None:
    assert together(alike([(NOW, b"1"), (NOW, b"2")], {**TARGET, "cloudevents": True})) is None
