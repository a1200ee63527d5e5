"""The cursor may go up to the oldest event that is open, however the others end."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from canonical.ports import Recorded
from router.window import Window
from tests.router.rig import order


def recorded(first: int, number: int) -> list[Recorded]:
    return [Recorded(position, order(position, "o")) for position in range(first, first + number)]


@given(sizes=st.lists(st.integers(1, 5), min_size=1, max_size=5), data=st.data())
def test_the_oldest_is_the_first_that_is_open_whatever_the_order(
    sizes: list[int], data: st.DataObject
) -> None:
    window, at = Window(), 1
    parts = {}
    for size in sizes:
        part = window.take(recorded(at, size))
        parts.update(dict.fromkeys(range(at, at + size), part))
        at += size
    left = set(parts)
    while left:
        assert window.oldest is not None
        assert window.oldest[0] == min(left)
        assert window.open == len(left)
        assert [event.id for event in window.events()] == [f"{n:06d}" for n in sorted(left)]
        position = data.draw(st.sampled_from(sorted(left)))
        if data.draw(st.booleans()):
            whole = {each for each, part in parts.items() if part is parts[position]}
            parts[position].settle()
            left -= whole
        else:
            parts[position].settle_one(position)
            left.discard(position)
    assert window.oldest is None
    assert window.open == 0


def test_settling_again_changes_nothing() -> None:
    window = Window()
    first, second = window.take(recorded(1, 2)), window.take(recorded(3, 1))
    first.settle_one(1)
    first.settle_one(1)
    assert window.open == 2
    second.settle()
    second.settle_one(3)
    assert window.open == 1
