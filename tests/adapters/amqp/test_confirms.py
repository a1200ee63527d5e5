"""Confirms and returned messages, read from a stream that comes in pieces of any size."""

from __future__ import annotations

import itertools

import pytest
from aiormq import spec
from hypothesis import given
from hypothesis import strategies as st
from pamqp import frame, header
from pamqp.body import ContentBody

from adapters.amqp.confirms import HEARTBEAT, Confirms

OURS, OTHER = 1, 2


def ack(tag: int, *, multiple: bool = False) -> bytes:
    return frame.marshal(spec.Basic.Ack(tag, multiple), OURS)


def nack(tag: int, *, multiple: bool = False) -> bytes:
    return frame.marshal(spec.Basic.Nack(tag, multiple), OURS)


def returned(message_id: str, body: bytes = b"payload") -> bytes:
    properties = spec.Basic.Properties(message_id=message_id)
    parts = (
        spec.Basic.Return(312, "NO_ROUTE", "", "nobody"),
        header.ContentHeader(0, len(body), properties),
        ContentBody(body),
    )
    return b"".join(frame.marshal(part, OURS) for part in parts)


OTHERS = frame.marshal(spec.Channel.OpenOk(), OURS) + frame.marshal(spec.Basic.Ack(1), OTHER) + HEARTBEAT


@pytest.fixture
async def confirms() -> Confirms:
    made = Confirms()
    made.watch(OURS)
    return made


def _ids(count: int) -> list[str]:
    return [f"m{number}" for number in range(1, count + 1)]


async def test_a_flight_is_done_once_every_message_is_answered(confirms: Confirms) -> None:
    first, second = confirms.take_off(_ids(3)), confirms.take_off(_ids(2))
    assert (first.first, first.last, second.first, second.last) == (1, 3, 4, 5)
    confirms.strip(ack(2), 0.0)
    assert [confirms.taken(tag) for tag in range(1, 4)] == [None, True, None]
    assert not first.done.done()
    confirms.strip(ack(3, multiple=True) + ack(5), 0.0)
    assert first.done.done()
    assert not second.done.done()
    confirms.strip(ack(4), 0.0)
    assert second.done.done()


async def test_what_the_broker_refuses_is_not_taken(confirms: Confirms) -> None:
    flight = confirms.take_off(_ids(4))
    confirms.strip(ack(2) + nack(3, multiple=True) + ack(4), 0.0)
    assert flight.done.done()
    assert [confirms.taken(tag) for tag in range(1, 5)] == [False, True, False, True]


async def test_a_returned_message_is_known_before_its_confirm(confirms: Confirms) -> None:
    flight = confirms.take_off(_ids(2))
    confirms.strip(returned("m1") + ack(2, multiple=True), 0.0)
    assert flight.done.done()
    assert flight.returned == {"m1": "NO_ROUTE"}


async def test_a_message_that_comes_back_too_late_concerns_nobody(confirms: Confirms) -> None:
    early = confirms.take_off(_ids(1))
    confirms.land(early)
    confirms.strip(returned("m1"), 0.0)
    again = confirms.take_off(["m2"])
    assert again.returned == {}


async def test_the_rest_of_the_stream_is_the_librarys(confirms: Confirms) -> None:
    confirms.take_off(_ids(2))
    assert confirms.strip(ack(1) + OTHERS + ack(2), 0.0) == OTHERS


async def test_a_broker_that_only_confirms_shows_signs_of_life(confirms: Confirms) -> None:
    confirms.take_off(_ids(3))
    assert confirms.strip(ack(1), 10.0) == HEARTBEAT
    assert confirms.strip(ack(2), 10.5) == b""
    assert confirms.strip(ack(3), 11.5) == HEARTBEAT


async def test_what_is_no_amqp_is_handed_on_as_it_is(confirms: Confirms) -> None:
    rubbish = b"HTTP/1.1 400 Bad Request\r\n\r\n"
    assert confirms.strip(rubbish, 0.0) == rubbish
    assert confirms.strip(ack(1), 0.0) == ack(1)


STREAM = (
    OTHERS + ack(2) + returned("m3", b"x" * 300) + OTHERS + ack(3, multiple=True) + nack(5) + ack(4) + OTHERS
)


@given(st.lists(st.integers(0, len(STREAM)), max_size=12))
def test_a_stream_reads_the_same_however_it_is_cut(cuts: list[int]) -> None:
    confirms = Confirms()
    confirms.watch(OURS)
    edges = sorted({0, *cuts, len(STREAM)})
    pieces = [STREAM[start:end] for start, end in itertools.pairwise(edges)]
    kept = b"".join(confirms.strip(piece, 0.0) for piece in pieces)
    assert kept == OTHERS * 3
    assert [confirms.taken(tag) for tag in range(1, 7)] == [True, True, True, True, False, None]
