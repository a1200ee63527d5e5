"""From a folder to the hub and on to archive or error, over a folder in memory."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from canonical.errors import CrossplantError, PermanentError, TransientError, Unauthorized
from canonical.exchange.folder import Denied, Exists, NotFound
from canonical.exchange.naming import leftover_name
from canonical.exchange.options import PickUp
from canonical.exchange.pickup import PickUpSource
from canonical.ports import Outcome
from tests.canonical.exchange.shelf import Shelf, TellingHub, acknowledge
from tests.waiting import eventually

pytestmark = pytest.mark.usefixtures("impatient")

AWAY = TransientError("the server is away", code="connection_refused", outage=True)


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Failures are tried again at once."""
    monkeypatch.setattr("canonical.exchange.pickup._FIRST_RETRY_S", 0.02)


@pytest.fixture
def shelf() -> Shelf:
    return Shelf()


@pytest.fixture
def hub(tmp_path: Path) -> TellingHub:
    return TellingHub(tmp_path)


Make = Callable[..., PickUpSource]


@pytest.fixture
def source(shelf: Shelf, hub: TellingHub) -> Make:
    def make(**options: Any) -> PickUpSource:
        rules = PickUp.model_validate({"every": "50ms", "ready": {"kind": "renamed"}, **options})
        return PickUpSource(shelf, rules, hub.new_context(), where="/in", longest_pause_s=0.05)

    return make


def failing(step: str, name: str, error: CrossplantError) -> Callable[[str, str], CrossplantError | None]:
    return lambda at, path: error if at == step and path.startswith(name) else None


async def test_a_file_is_moved_only_after_the_commit(shelf: Shelf, hub: TellingHub, source: Make) -> None:
    shelf.put("a.txt", b"A")
    async with hub.runs(source(), acknowledges=False):
        await eventually(lambda: hub.bodies == [b"A"])
        assert shelf.names() == ["a.txt"]
        await acknowledge(hub.batches[0], hub.judge)
        await eventually(lambda: shelf.names("archive") == ["a.txt"])
        assert shelf.names() == []


async def test_a_crash_before_the_move_gives_the_same_id(shelf: Shelf, hub: TellingHub, source: Make) -> None:
    shelf.put("a.txt", b"A")
    async with hub.runs(source(), acknowledges=False):
        await eventually(lambda: hub.bodies == [b"A"])
    hub.judge = lambda body: Outcome(status="duplicate")
    async with hub.runs(source()):
        await eventually(lambda: shelf.names("archive") == ["a.txt"])
    assert hub.ids[0] == hub.ids[1]
    assert shelf.names() == []


async def test_the_same_content_put_again_is_new(shelf: Shelf, hub: TellingHub, source: Make) -> None:
    async with hub.runs(source()):
        shelf.put("stock.csv", b"same")
        await eventually(lambda: shelf.names("archive") == ["stock.csv"])
        shelf.put("stock.csv", b"same")
        await eventually(lambda: len(shelf.names("archive")) == 2)
    assert len(set(hub.ids)) == 2


async def test_nothing_in_the_archive_is_overwritten(shelf: Shelf, hub: TellingHub, source: Make) -> None:
    shelf.put("archive/a.txt", b"old")
    shelf.put("a.txt", b"new")
    async with hub.runs(source()):
        await eventually(lambda: len(shelf.names("archive")) == 2)
    assert shelf.content("archive/a.txt") == b"old"
    other = next(name for name in shelf.names("archive") if name != "a.txt")
    assert shelf.content(f"archive/{other}") == b"new"


async def test_a_move_that_was_cut_short_leaves_no_second_copy(
    shelf: Shelf, hub: TellingHub, source: Make
) -> None:
    """Where a rename is a link and a removal, the process may end in between."""
    shelf.put("a.txt", b"content")
    shelf.files["archive/a.txt"] = shelf.files["a.txt"]
    async with hub.runs(source()):
        await eventually(lambda: shelf.names() == [])
    assert shelf.names("archive") == ["a.txt"]


@pytest.mark.parametrize("status", ["invalid", "conflict"])
async def test_what_the_hub_refuses_goes_to_error_with_a_reason(
    shelf: Shelf, hub: TellingHub, source: Make, status: Any
) -> None:
    shelf.put("bad.txt", b"rubbish")
    shelf.put("good.txt", b"fine")
    refused = Outcome(status=status, errors=(("line 3", "no such unit"),), dead_letter=17)
    hub.judge = lambda body: refused if body == b"rubbish" else Outcome(status="accepted")
    async with hub.runs(source()):
        await eventually(lambda: shelf.names("archive") == ["good.txt"])
        await eventually(lambda: "bad.txt" in shelf.names("error"))
    assert shelf.names("error") == ["bad.txt", "bad.txt.reason.txt"]
    reason = shelf.content("error/bad.txt.reason.txt").decode()
    assert "bad.txt was refused" in reason
    assert "where: /in/bad.txt" in reason
    assert "line 3: no such unit" in reason
    assert "dead letter 17" in reason
    assert "to do:" in reason


async def test_a_file_that_is_too_large_is_refused_unread(
    shelf: Shelf, hub: TellingHub, source: Make
) -> None:
    shelf.put("big.txt", b"x" * 2_000)
    async with hub.runs(source(max_size="1KB")):
        await eventually(lambda: "big.txt" in shelf.names("error"))
    assert ("read", "big.txt") not in shelf.steps
    assert hub.committed == []
    assert "max_size" in shelf.content("error/big.txt.reason.txt").decode()
    assert hub.log.of("file_refused")[0]["file"] == "big.txt"


async def test_an_empty_file_can_be_refused(shelf: Shelf, hub: TellingHub, source: Make) -> None:
    shelf.put("empty.txt", b"")
    async with hub.runs(source(empty="refuse")):
        await eventually(lambda: "empty.txt" in shelf.names("error"))
    assert hub.committed == []


async def test_a_file_that_changes_while_it_is_read_is_not_taken(
    shelf: Shelf, hub: TellingHub, source: Make
) -> None:
    shelf.put("a.txt", b"half")

    def write_on(step: str, path: str) -> None:
        if step == "read" and shelf.content("a.txt") == b"half":
            shelf.put("a.txt", b"half and half")

    shelf.after = write_on
    async with hub.runs(source()):
        await eventually(lambda: shelf.names("archive") == ["a.txt"])
    assert hub.bodies == [b"half and half"]


async def test_a_file_that_was_replaced_before_the_move_stays(
    shelf: Shelf, hub: TellingHub, source: Make
) -> None:
    shelf.put("a.txt", b"one")
    async with hub.runs(source(), acknowledges=False):
        await eventually(lambda: hub.bodies == [b"one"])
        shelf.put("a.txt", b"two")
        await acknowledge(hub.batches[0], hub.judge)
        await eventually(lambda: hub.bodies == [b"one", b"two"])
        assert shelf.names("archive") == []
        await acknowledge(hub.batches[1], hub.judge)
        await eventually(lambda: shelf.names("archive") == ["a.txt"])
    assert shelf.content("archive/a.txt") == b"two"


@pytest.mark.parametrize("options", [{}, {"delete": True}])
async def test_a_file_that_was_replaced_during_the_move_is_put_back(
    shelf: Shelf, hub: TellingHub, source: Make, options: dict[str, Any]
) -> None:
    shelf.put("a.txt", b"one")

    def replace_once(step: str, path: str) -> None:
        if step == "move":
            shelf.after = lambda step, path: None
            moved = next(name for name in shelf.files if name != "a.txt")
            shelf.put(moved, b"two")

    shelf.after = replace_once
    async with hub.runs(source(**options)):
        await eventually(lambda: hub.bodies == [b"one", b"two"])
        await eventually(lambda: shelf.names() == [])
    assert hub.log.of("file_put_back")


async def test_taken_files_can_be_deleted(shelf: Shelf, hub: TellingHub, source: Make) -> None:
    shelf.put("a.txt", b"A")
    async with hub.runs(source(delete=True)):
        await eventually(lambda: shelf.files == {})
    assert hub.bodies == [b"A"]


async def test_a_removal_that_a_crash_cut_short_is_finished(
    shelf: Shelf, hub: TellingHub, source: Make
) -> None:
    shelf.put("a.txt", b"A")
    shelf.fault = failing("remove", ".a.txt", PermanentError("killed here"))
    async with hub.runs(source(delete=True)):
        await eventually(lambda: hub.log.of("file_not_moved"))
    [leftover] = shelf.names()
    assert leftover == leftover_name("a.txt", hub.ids[0])
    shelf.fault = lambda step, path: None
    async with hub.runs(source(delete=True)):
        await eventually(lambda: shelf.names() == [])
    assert hub.bodies == [b"A"]


async def test_a_leftover_that_is_something_else_is_put_back(
    shelf: Shelf, hub: TellingHub, source: Make
) -> None:
    shelf.put(leftover_name("a.txt", "another id"), b"never read")
    async with hub.runs(source(delete=True)):
        await eventually(lambda: hub.bodies == [b"never read"])


async def test_a_done_file_goes_before_its_file(shelf: Shelf, hub: TellingHub, source: Make) -> None:
    """Left behind, it would make the next file of that name ready before it is whole."""
    shelf.put("a.txt", b"A")
    shelf.put("a.txt.done", b"")
    async with hub.runs(source(ready={"kind": "done_file"})):
        await eventually(lambda: shelf.names("archive") == ["a.txt"])
    assert shelf.names() == []
    assert shelf.steps.index(("remove", "a.txt.done")) < shelf.steps.index(("move", "a.txt"))


async def test_order_and_limit(shelf: Shelf, hub: TellingHub, source: Make) -> None:
    for number in (3, 1, 2, 5, 4):
        shelf.put(f"{number}.txt", str(number).encode())
    async with hub.runs(source(limit=2)):
        await eventually(lambda: len(shelf.names("archive")) == 5)
    assert hub.bodies == [b"1", b"2", b"3", b"4", b"5"]


async def test_the_attributes_say_where_a_message_was(shelf: Shelf, hub: TellingHub, source: Make) -> None:
    shelf.put("a.txt", b"A")
    async with hub.runs(source()):
        await eventually(lambda: hub.committed)
    assert hub.committed[0].attributes == {
        "file": "a.txt",
        "folder": "/in",
        "size_bytes": 1,
        "changed_at": "1970-01-01T00:00:01.001000+00:00",
    }


@pytest.mark.parametrize(
    "error",
    [NotFound("/in is not there"), Denied("/in: permission denied"), AWAY],
    ids=lambda error: error.code,
)
async def test_a_folder_that_cannot_be_used_is_awaited(
    shelf: Shelf, hub: TellingHub, source: Make, error: CrossplantError
) -> None:
    shelf.fault = failing("entries", "", error)
    async with hub.runs(source()):
        await eventually(lambda: hub.context.health.detail == error.message)
        assert not hub.context.health.connected
        assert hub.log.of("folder_not_reached")[0]["code"] == error.code
        shelf.fault = lambda step, path: None
        shelf.put("a.txt", b"A")
        await eventually(lambda: hub.bodies == [b"A"])
        await eventually(lambda: hub.context.health.connected)
    assert len(hub.log.of("folder_not_reached")) == 1


async def test_a_refused_login_waits_the_longest(shelf: Shelf, hub: TellingHub) -> None:
    shelf.fault = failing("entries", "", Unauthorized("the login was refused", code="login_refused"))
    rules = PickUp.model_validate({})
    source = PickUpSource(shelf, rules, hub.new_context(), where="/in", longest_pause_s=100.0)
    async with hub.runs(source):
        await eventually(lambda: hub.log.of("folder_not_reached"))
        assert hub.log.of("folder_not_reached")[0]["retry_in_s"] >= 50


async def test_one_unreadable_file_does_not_hold_up_the_others(
    shelf: Shelf, hub: TellingHub, source: Make
) -> None:
    shelf.put("a.txt", b"A")
    shelf.put("b.txt", b"B")
    shelf.fault = failing("read", "a.txt", Denied("a.txt: permission denied"))
    async with hub.runs(source()):
        await eventually(lambda: shelf.names("archive") == ["b.txt"])
        shelf.fault = lambda step, path: None
        await eventually(lambda: shelf.names("archive") == ["a.txt", "b.txt"])
    assert len(hub.log.of("file_unreadable")) == 1


async def test_what_was_read_before_the_connection_failed_goes_on(
    shelf: Shelf, hub: TellingHub, source: Make
) -> None:
    """Else a connection that always breaks after some files would never get anything through."""
    for name in ("a", "b", "c"):
        shelf.put(f"{name}.txt", name.encode())
    shelf.fault = failing("read", "b.txt", AWAY)
    async with hub.runs(source()):
        await eventually(lambda: hub.bodies == [b"a"])
        shelf.fault = lambda step, path: None
        await eventually(lambda: hub.bodies == [b"a", b"b", b"c"])
        await eventually(lambda: len(shelf.names("archive")) == 3)


async def test_a_file_that_cannot_be_moved_is_not_taken_twice(
    shelf: Shelf, hub: TellingHub, source: Make
) -> None:
    shelf.put("a.txt", b"A")
    shelf.fault = failing("move", "a.txt", Denied("archive: permission denied"))
    async with hub.runs(source()):
        await eventually(lambda: "not to be moved" in hub.context.health.detail)
        shelf.put("b.txt", b"B")
        await eventually(lambda: shelf.names("archive") == ["b.txt"])
        assert hub.bodies == [b"A", b"B"]
        shelf.fault = lambda step, path: None
        await eventually(lambda: shelf.names("archive") == ["a.txt", "b.txt"])
    assert hub.bodies == [b"A", b"B"]
    assert len(hub.log.of("file_not_moved")) == 1


async def test_moves_wait_for_the_connection(shelf: Shelf, hub: TellingHub, source: Make) -> None:
    shelf.put("a.txt", b"A")
    shelf.fault = failing("move", "", AWAY)
    async with hub.runs(source()):
        await eventually(lambda: hub.log.of("folder_not_reached"))
        shelf.fault = lambda step, path: None
        await eventually(lambda: shelf.names("archive") == ["a.txt"])
    assert hub.bodies == [b"A"]


async def test_the_acknowledged_is_moved_before_the_end(shelf: Shelf, hub: TellingHub, source: Make) -> None:
    shelf.put("a.txt", b"A")
    running = source()
    async with hub.runs(running, acknowledges=False):
        await eventually(lambda: hub.batches)
        await acknowledge(hub.batches[0], hub.judge)
        await running.close()
        assert shelf.names("archive") == ["a.txt"]
        assert shelf.closed


async def test_an_archive_without_a_free_name_says_so(shelf: Shelf, hub: TellingHub, source: Make) -> None:
    shelf.put("a.txt", b"A")
    shelf.fault = failing("move", "a.txt", Exists("taken"))
    async with hub.runs(source()):
        await eventually(lambda: hub.log.of("file_not_moved"))
    assert "clear it out" in hub.log.of("file_not_moved")[0]["reason"]


async def test_strange_names_are_reported_once(shelf: Shelf, hub: TellingHub, source: Make) -> None:
    shelf.put("a\x1b.txt", b"x")
    shelf.put("b.txt", b"B")
    async with hub.runs(source()):
        await eventually(lambda: hub.bodies == [b"B"])
        await eventually(lambda: len([step for step in shelf.steps if step[0] == "entries"]) > 3)
        assert "never taken" in hub.context.health.detail
    [said] = hub.log.of("file_never_taken")
    assert said["file"] == "a\\x1b.txt"


async def test_a_defect_ends_the_source_loudly(shelf: Shelf, hub: TellingHub, source: Make) -> None:
    def defect(step: str, path: str) -> None:
        raise ZeroDivisionError

    shelf.fault = defect
    running = source()
    await running.open()
    with pytest.raises(ZeroDivisionError):
        await anext(aiter(running.receive()))
    await running.close()
