"""What a code means when, against a naive model; and imports, against the rows that a file asks for."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any, Literal

import apsw
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs

from canonical.errors import Unresolved
from config.crosswalks import CrosswalkRow
from deadletter.service import NotPossible
from gateway.crosswalks import importing
from router import crosswalk, crosswalk_history
from router.crosswalk import Crosswalk, Overlap, Row

PLANTS = ("", "aachen", "brno")
DAYS = st.one_of(st.none(), st.integers(1, 12))
Status = Literal["draft", "approved", "retired"]
STATUSES: list[Status] = ["draft", "approved", "approved", "approved", "retired"]


@st.composite
def row(draw: st.DrawFn) -> Row:
    start, end = draw(DAYS), draw(DAYS)
    if start is not None and end is not None and start >= end:
        start, end = (end, start) if end < start else (start, None)
    return Row(
        domain="item",
        system=draw(st.sampled_from(["erp", "mes"])),
        plant=draw(st.sampled_from(PLANTS)),
        value=draw(st.sampled_from("XY")),
        canonical=draw(st.sampled_from("ABC")),
        valid_from=None if start is None else float(start),
        valid_to=None if end is None else float(end),
        status=draw(st.sampled_from(STATUSES)),
    )


class Kept:
    """A store in memory."""

    def __init__(self) -> None:
        self._connection = apsw.Connection(":memory:")
        for statement in crosswalk.TABLES:
            self._connection.execute(statement)

    def execute(self, statement: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        return list(self._connection.execute(statement, tuple(parameters)))


def moment(at: float) -> datetime:
    return datetime.fromtimestamp(at, UTC)


def holds(one: Row, at: float) -> bool:
    """The rule in words: approved, or retired with an end; from included, to excluded."""
    if one.status == "draft" or (one.status == "retired" and one.valid_to is None):
        return False
    after = one.valid_from is None or at >= one.valid_from
    return after and (one.valid_to is None or at < one.valid_to)


def naive(rows: Sequence[Row], system: str, plant: str, value: str, at: float) -> str | None:
    """The plant's own row, else the enterprise's."""
    for where in (plant, ""):
        for one in rows:
            if (one.system, one.plant, one.value) == (system, where, value) and holds(one, at):
                return one.canonical
    return None


@settings(max_examples=300, deadline=None)
@given(st.lists(row(), max_size=12))
def test_a_code_means_what_a_naive_model_says_at_every_moment(wanted: list[Row]) -> None:
    store, kept = Kept(), list[Row]()
    for one in wanted:
        clash = any(
            (other.system, other.plant, other.value) == (one.system, one.plant, one.value)
            and any(holds(other, at / 2) and holds(one, at / 2) for at in range(-2, 30))
            for other in kept
        )
        try:
            kept.append(crosswalk.add(store, one))
        except Overlap:
            assert clash
        else:
            assert not clash
    read = Crosswalk(crosswalk.rows(store))
    for system in ("erp", "mes"):
        for plant in PLANTS:
            for value in "XY":
                for at in range(-2, 30):
                    try:
                        found = read.canonical(
                            domain="item", system=system, plant=plant, value=value, at=moment(at / 2)
                        )
                    except Unresolved:
                        found = None
                    assert found == naive(kept, system, plant, value, at / 2)


def taken(store: Kept, wanted: Sequence[Row]) -> list[Row]:
    """Those that overlap none before them."""
    found = []
    for one in wanted:
        with suppress(Overlap):
            found.append(crosswalk.add(store, one))
    return found


@settings(max_examples=200, deadline=None)
@given(st.lists(row(), max_size=8), st.integers(-1, 14))
def test_outward_the_code_is_one_that_means_it(wanted: list[Row], at: int) -> None:
    wanted = taken(Kept(), wanted)
    read = Crosswalk(wanted)
    for canonical in "ABC":
        for plant in PLANTS:
            known = {"domain": "item", "system": "erp", "plant": plant}
            fits = [
                one
                for one in wanted
                if (one.system, one.canonical) == ("erp", canonical)
                and one.plant in {"", plant}
                and holds(one, at)
                and naive(wanted, "erp", plant, one.value, at) == canonical  # or the plant says otherwise
            ]
            try:
                code = read.code(canonical=canonical, at=moment(at), **known)
            except Unresolved:
                assert fits == []
                assert not read.answers("item", "erp", canonical, plant=plant, at=moment(at))
                continue
            own = [one.value for one in fits if one.plant == plant] or [one.value for one in fits]
            assert code in own


def test_a_code_that_the_plant_reads_otherwise_is_not_sent_to_it() -> None:
    read = Crosswalk(
        [
            Row(domain="item", system="erp", value="10", canonical="A"),
            Row(domain="item", system="erp", value="10", canonical="B", plant="brno"),
            Row(domain="item", system="erp", value="11", canonical="A"),
            Row(domain="item", system="erp", value="12", canonical="C"),
            Row(domain="item", system="erp", value="12", canonical="D", plant="brno"),
        ]
    )
    known: dict[str, Any] = {"domain": "item", "system": "erp", "at": moment(0)}
    assert [read.code(canonical="A", plant=plant, **known) for plant in ("aachen", "brno")] == ["10", "11"]
    assert read.code(canonical="C", plant="aachen", **known) == "12"
    with pytest.raises(Unresolved):
        read.code(canonical="C", plant="brno", **known)


def written(one: Row, line: int) -> CrosswalkRow:
    """A row as a file says it."""
    return CrosswalkRow(
        domain=one.domain,
        system=one.system,
        plant=one.plant or None,
        value=one.value,
        canonical=one.canonical,
        valid_from=None if one.valid_from is None else moment(one.valid_from),
        valid_to=None if one.valid_to is None else moment(one.valid_to),
        status=one.status,
        line=line,
    )


def load(store: Kept, diff: importing.Diff) -> None:
    for change, act in importing.changes(diff, "bea", 1.0):
        crosswalk_history.keep(store, change, act=act, by="bea", why="", at=1.0, checked=True)


@settings(max_examples=300, deadline=None)
@given(st.lists(row(), max_size=8), st.lists(row(), max_size=8))
def test_an_import_without_conflicts_leaves_no_overlap_and_is_done_once(
    before: list[Row], wanted: list[Row]
) -> None:
    store = Kept()
    for one in before:
        try:
            crosswalk_history.keep(store, one, act="add", by="bea", why="", at=0.0)
        except Overlap:
            continue
    file = [written(one, line) for line, one in enumerate(wanted, 2)]
    known = crosswalk.rows(store)
    diff = importing.diff(known, file)
    assert importing.diff(known, file).hash == diff.hash
    told = [change.line for change in diff.touched] + diff.unchanged
    refused = {conflict.line for conflict in diff.conflicts}
    assert set(told) | refused == {one.line for one in file}
    if diff.conflicts:
        with pytest.raises(NotPossible):
            importing.agree(diff, diff.hash)
        return
    importing.agree(diff, diff.hash)
    load(store, diff)
    after = crosswalk.rows(store)
    for one in after:
        for other in after:
            same = (one.system, one.plant, one.value) == (other.system, other.plant, other.value)
            if one.id < other.id and same and one.effective and other.effective:
                assert not one.overlaps(other)
    named = {(one.system, one.plant, one.value, one.valid_from) for one in wanted}
    untouched = [one for one in known if (one.system, one.plant, one.value, one.valid_from) not in named]
    assert [one for one in after if one in untouched] == untouched
    assert importing.diff(after, file).touched == []  # the second time there is nothing to do
    for one in wanted:
        assert any(
            structs.replace(
                found, id=0, version=1, steward="", approved_by="", created_at=0.0, origin=one.origin
            )
            == one
            for found in after
        )
