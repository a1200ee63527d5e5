"""Delivered positions as ranges say the same as one by one."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.spans import Span, positions, reach, receipt_of, spans

_decode = msgspec.msgpack.Decoder(list[Span]).decode


@given(delivered=st.sets(st.integers(1, 60), min_size=1), receipted=st.sets(st.integers(1, 60)))
def test_ranges_hold_every_position_and_no_other(delivered: set[int], receipted: set[int]) -> None:
    receipts = {position: f"R{position}" for position in delivered & receipted}
    entries = _decode(msgspec.msgpack.encode(spans(list(delivered), receipts)))
    assert sorted(positions(entries)) == sorted(delivered)
    assert reach(entries) == (min(delivered), max(delivered))
    for position in range(62):
        expected = receipts.get(position, "") if position in delivered else None
        assert receipt_of(entries, position) == expected


def test_a_run_without_a_gap_is_one_range() -> None:
    assert spans(list(range(7, 1007)), {}) == [(7, 1006)]


@pytest.mark.parametrize("entries", [[(3, ""), (5, "R5")], [[3, ""], [5, "R5"]]])
def test_entries_of_earlier_versions_are_read(entries: list[Any]) -> None:
    read = _decode(msgspec.msgpack.encode(entries))
    assert list(positions(read)) == [3, 5]
    assert (receipt_of(read, 3), receipt_of(read, 4), receipt_of(read, 5)) == ("", None, "R5")
