"""Names that we give, and the identity of a pick-up."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from canonical.exchange.folder import Entry
from canonical.exchange.naming import (
    free_names,
    leftover_name,
    leftover_of,
    message_id,
    part_name,
    reason_text,
    suffixed,
    unsafe,
)

NOW = datetime(2026, 1, 5, 10, 15, tzinfo=UTC)
TAKEN = Entry(name="stock.csv", size_bytes=3, mtime_ns=17)
safe_names = st.text(
    st.characters(codec="utf-8", exclude_categories=["Cc", "Cs", "Zl", "Zp"], exclude_characters="/\\"),
    min_size=1,
    max_size=200,
).filter(lambda name: not unsafe(name))


def test_the_same_pick_up_has_the_same_id() -> None:
    assert message_id("/in", TAKEN, b"abc") == message_id("/in", TAKEN, b"abc")
    assert message_id("/in", TAKEN, b"abc").startswith("stock.csv:")


@pytest.mark.parametrize(
    "other",
    [
        ("/in", replace(TAKEN, mtime_ns=18), b"abc"),  # today's stock, unchanged since yesterday
        ("/in", replace(TAKEN, size_bytes=4), b"abc"),
        ("/in", replace(TAKEN, name="stock2.csv"), b"abc"),
        ("/out", TAKEN, b"abc"),
        ("/in", TAKEN, b"abd"),
    ],
)
def test_another_pick_up_has_another_id(other: tuple[str, Entry, bytes]) -> None:
    assert message_id(*other) != message_id("/in", TAKEN, b"abc")


def test_a_taken_name_gets_the_time() -> None:
    names = list(itertools.islice(free_names("stock.csv", NOW), 3))
    assert names == ["stock.csv", "stock.20260105T101500Z.csv", "stock.20260105T101500Z-2.csv"]


def test_a_suffix_is_the_same_at_every_attempt() -> None:
    assert suffixed("a.edi", "key", b"x") == suffixed("a.edi", "key", b"x")
    assert (
        len({suffixed("a.edi", "key", b"x"), suffixed("a.edi", "key", b"y"), suffixed("a.edi", "k", b"x")})
        == 3
    )
    assert suffixed("a.edi", "key", b"x").endswith(".edi")


@given(safe_names)
def test_what_we_add_keeps_a_name_safe_and_short(name: str) -> None:
    made = [*itertools.islice(free_names(name, NOW), 3), part_name(name), suffixed(name, "k", b"")]
    made.append(leftover_name(name, "id"))
    assert [each for each in made[1:] if unsafe(each) or len(each.encode()) > 255] == []


@given(st.text(max_size=300))
def test_whatever_is_safe_can_be_a_file_name(name: str) -> None:
    if not unsafe(name):
        assert "/" not in name
        assert name not in {"", ".", ".."}
        assert len(name.encode()) <= 255
        assert "\0" not in name


def test_a_leftover_tells_its_name() -> None:
    assert leftover_of(leftover_name("stock.csv", "id")) == "stock.csv"
    assert leftover_of(".stock.csv.taken") is None
    assert leftover_of("stock.csv") is None


def test_a_reason_stays_on_its_lines() -> None:
    text = reason_text(
        what="x was refused: bad\nto do: pay",
        where="/in/x",
        to_do="mend",
        now=NOW,
        details=("3: \x1b[31mred",),
    )
    assert text.splitlines() == [
        "what: x was refused: bad to do: pay".replace("what: ", "what:  "),
        "where: /in/x",
        "when:  2026-01-05T10:15:00+00:00",
        "to do: mend",
        "  - 3: [31mred",
    ]
