"""When a file is ready, in which order files are taken, and which never are."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from canonical.exchange.folder import Entry
from canonical.exchange.options import PickUp
from canonical.exchange.readiness import Readiness


def entry(name: str, size: int = 3, mtime: int = 1, **more: Any) -> Entry:
    return Entry(name=name, size_bytes=size, mtime_ns=mtime, **more)


def rules(**options: Any) -> PickUp:
    return PickUp.model_validate(options)


def ready(readiness: Readiness, entries: list[Entry], now_s: float) -> list[str]:
    return [each.name for each in readiness.look(entries, now_s).ready]


STABLE = {"kind": "stable", "checks": 2, "interval": "1s"}
RENAMED = {"kind": "renamed"}


def test_a_stable_file_is_ready_after_so_many_checks() -> None:
    readiness = Readiness(rules(ready=STABLE))
    assert ready(readiness, [entry("a")], 0.0) == []
    assert ready(readiness, [entry("a")], 1.0) == []
    assert ready(readiness, [entry("a")], 2.0) == ["a"]


def test_checks_that_follow_too_closely_do_not_count() -> None:
    readiness = Readiness(rules(ready=STABLE))
    for now_s in (0.0, 0.2, 0.4, 0.6, 1.0):
        assert ready(readiness, [entry("a")], now_s) == []
    assert ready(readiness, [entry("a")], 2.0) == ["a"]


@pytest.mark.parametrize("changed", [entry("a", size=4), entry("a", mtime=2)])
def test_a_change_starts_the_checks_anew(changed: Entry) -> None:
    readiness = Readiness(rules(ready=STABLE))
    for now_s in (0.0, 1.0):
        ready(readiness, [entry("a")], now_s)
    assert ready(readiness, [changed], 2.0) == []
    assert ready(readiness, [changed], 3.0) == []
    assert ready(readiness, [changed], 4.0) == ["a"]


def test_a_file_that_was_away_is_a_new_one() -> None:
    readiness = Readiness(rules(ready=STABLE))
    for now_s in (0.0, 1.0):
        ready(readiness, [entry("a")], now_s)
    ready(readiness, [], 1.5)
    assert ready(readiness, [entry("a")], 2.0) == []


def test_it_says_when_to_look_again() -> None:
    readiness = Readiness(rules(ready=STABLE))
    assert readiness.look([entry("a")], 0.0).recheck_s == pytest.approx(1.0)
    assert readiness.look([entry("a")], 0.4).recheck_s == pytest.approx(0.6)
    assert readiness.look([], 0.5).recheck_s is None


@pytest.mark.parametrize(("pattern", "done"), [("{name}.done", "a.csv.done"), ("{stem}.ok", "a.ok")])
def test_a_done_file_makes_ready(pattern: str, done: str) -> None:
    readiness = Readiness(rules(ready={"kind": "done_file", "name": pattern}))
    choice = readiness.look([entry("a.csv")], 0.0)
    assert (choice.ready, choice.recheck_s) == ([], None)
    assert done in choice.waiting[0].why
    assert ready(readiness, [entry("a.csv"), entry(done, size=0)], 1.0) == ["a.csv"]


def test_a_done_file_is_never_taken_itself() -> None:
    readiness = Readiness(rules(ready={"kind": "done_file"}))
    assert ready(readiness, [entry("b.done"), entry("b.done.done")], 0.0) == []


def test_renamed_is_ready_at_once_unless_too_young() -> None:
    assert ready(Readiness(rules(ready=RENAMED)), [entry("a")], 0.0) == ["a"]
    young = Readiness(rules(ready=RENAMED), least_age_s=1.0)
    assert young.look([entry("a")], 0.0).recheck_s == pytest.approx(1.0)
    assert ready(young, [entry("a")], 0.9) == []
    assert ready(young, [entry("a")], 1.0) == ["a"]
    assert ready(Readiness(rules(ready=RENAMED, min_age="5s"), least_age_s=1.0), [entry("a")], 1.0) == []


def test_the_age_counts_by_our_clock() -> None:
    future = entry("a", mtime=10**19)
    young = Readiness(rules(ready=RENAMED, min_age="1s"))
    ready(young, [future], 0.0)
    assert ready(young, [future], 1.0) == ["a"]


@pytest.mark.parametrize(("empty", "taken"), [("wait", []), ("take", ["a"]), ("refuse", ["a"])])
def test_empty_files(empty: str, taken: list[str]) -> None:
    """What is refused is chosen, too: it has to be ready before it is moved away from its sender."""
    assert ready(Readiness(rules(ready=RENAMED, empty=empty)), [entry("a", size=0)], 0.0) == taken


def test_order_is_by_name_or_by_time() -> None:
    files = [entry("b", mtime=1), entry("c", mtime=2), entry("a", mtime=2)]
    assert ready(Readiness(rules(ready=RENAMED)), files, 0.0) == ["a", "b", "c"]
    assert ready(Readiness(rules(ready=RENAMED, order="mtime")), files, 0.0) == ["b", "a", "c"]


def test_only_names_that_match_are_taken() -> None:
    names = ["a.csv", "A.CSV", "a.csv.part", ".hidden.csv", "a.xml", "b.csv~", "a.csv.reason.txt"]
    chosen = Readiness(rules(ready=RENAMED, match=["*.csv", "*.csv*"]))
    assert ready(chosen, [entry(name) for name in names], 0.0) == ["a.csv"]


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        (entry("link", kind="link"), "symbolic link"),
        (entry("in/../../etc/passwd"), "path separator"),
        (entry("a\\b"), "path separator"),
        (entry("a\nb"), "control"),
        (entry("a\x9bb"), "control"),
        (entry("a\udcffb"), "not UTF-8"),
        (entry("ä" * 128), "longer"),
    ],
)
def test_some_names_are_never_taken(wrong: Entry, why: str) -> None:
    choice = Readiness(rules(ready=RENAMED)).look([wrong, entry("fine")], 0.0)
    assert [each.name for each in choice.ready] == ["fine"]
    [(name, said)] = choice.refused
    assert name == wrong.name
    assert why in said


def test_folders_and_pipes_are_passed_over() -> None:
    choice = Readiness(rules(ready=RENAMED)).look([entry("archive", kind="other")], 0.0)
    assert (choice.ready, choice.refused, choice.waiting) == ([], [], [])


def test_what_is_on_its_way_is_not_chosen_again() -> None:
    readiness = Readiness(rules(ready=RENAMED))
    assert readiness.look([entry("a")], 0.0, held={"a"}).ready == []
    assert ready(readiness, [entry("a")], 1.0) == ["a"]


@pytest.mark.parametrize(
    "wrong",
    [
        {"archive": "../elsewhere"},
        {"archive": "."},
        {"archive": "same", "error": "same"},
        {"ready": {"kind": "done_file", "name": "always.done"}},
        {"ready": {"kind": "done_file", "name": "{name}"}},
        {"ready": {"kind": "none"}},
        {"match": []},
        {"max_size": "2GB"},
    ],
)
def test_options_that_cannot_work_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        rules(**wrong)
