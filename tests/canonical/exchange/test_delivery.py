"""From a delivery to a file that is complete when it appears, over a folder in memory."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from canonical.errors import CrossplantError, Invalid, Rejected, TransientError
from canonical.event import Event
from canonical.exchange.delivery import FolderSink
from canonical.exchange.folder import Denied, NotFound
from canonical.exchange.naming import suffixed
from canonical.ports import Accepted, Delivery, Failed, NotTried, SinkOutcome, Unknown
from tests.canonical.exchange.shelf import Shelf, TellingHub

AWAY = TransientError("the server is away", code="timeout", outage=True)


@pytest.fixture
def shelf() -> Shelf:
    return Shelf()


@pytest.fixture
def sink(shelf: Shelf, tmp_path: Path) -> FolderSink:
    return FolderSink(shelf, TellingHub(tmp_path).new_context(), where="/out")


def delivery(name: str = "a.edi", payload: bytes = b"content", key: str = "k", **target: Any) -> Delivery:
    return Delivery(
        event=Event(id="1", source="/test", type="test"),
        payload=payload,
        content_type="",
        key=key,
        idempotency_key=f"i-{key}",
        target={"name": name, **target},
    )


async def send(sink: FolderSink, one: Delivery) -> SinkOutcome:
    [outcome] = await sink.send([one])
    return outcome


def error_of(outcome: SinkOutcome | None) -> CrossplantError:
    assert isinstance(outcome, Failed | Unknown), outcome
    return outcome.error


async def test_a_file_appears_whole(sink: FolderSink, shelf: Shelf) -> None:
    assert await send(sink, delivery()) == Accepted("a.edi")
    assert [step for step in shelf.steps if step[0] in {"write", "move"}] == [
        ("write", "a.edi.part"),
        ("move", "a.edi.part"),
    ]
    assert shelf.names() == ["a.edi"]


async def test_a_folder_below(sink: FolderSink, shelf: Shelf) -> None:
    assert await send(sink, delivery(folder="brno/orders")) == Accepted("brno/orders/a.edi")
    assert shelf.names("brno/orders") == ["a.edi"]


async def test_the_same_again_is_accepted_and_written_once(sink: FolderSink, shelf: Shelf) -> None:
    for _ in range(2):
        assert await send(sink, delivery()) == Accepted("a.edi")
    assert len([step for step in shelf.steps if step[0] == "write"]) == 1


async def test_other_content_gets_a_suffix_and_keeps_it(sink: FolderSink, shelf: Shelf) -> None:
    shelf.put("a.edi", b"theirs!")
    for _ in range(2):
        assert await send(sink, delivery()) == Accepted(suffixed("a.edi", "i-k", b"content"))
    assert len(shelf.names()) == 2
    assert shelf.content("a.edi") == b"theirs!"


async def test_other_content_can_be_rejected(sink: FolderSink, shelf: Shelf) -> None:
    shelf.put("a.edi", b"theirs!")
    assert isinstance(error_of(await send(sink, delivery(exists="reject"))), Rejected)
    assert shelf.content("a.edi") == b"theirs!"


async def test_other_content_can_be_replaced(sink: FolderSink, shelf: Shelf) -> None:
    shelf.put("a.edi", b"theirs!")
    assert await send(sink, delivery(exists="replace")) == Accepted("a.edi")
    assert shelf.content("a.edi") == b"content"


async def test_a_name_that_is_taken_at_the_last_moment(sink: FolderSink, shelf: Shelf) -> None:
    def hurry(step: str, path: str) -> None:
        if step == "write" and path == "a.edi.part":
            shelf.put("a.edi", b"faster!")

    shelf.after = hurry
    assert await send(sink, delivery()) == Accepted(suffixed("a.edi", "i-k", b"content"))
    assert shelf.content("a.edi") == b"faster!"


@pytest.mark.parametrize(
    "wrong",
    [
        {"name": "../a"},
        {"name": "a/b"},
        {"name": ".."},
        {"name": ".hidden"},
        {"name": "a\nb"},
        {"name": "x" * 300},
        {"name": ""},
        {"name": "a", "folder": "../up"},
        {"name": "a", "folder": "/etc"},
        {"name": "a", "exists": "perhaps"},
        {"name": "a", "unknown": "option"},
    ],
    ids=str,
)
async def test_names_of_messages_do_not_leave_the_folder(
    sink: FolderSink, shelf: Shelf, wrong: dict[str, Any]
) -> None:
    assert isinstance(error_of(await send(sink, delivery(**wrong))), Invalid)
    assert shelf.steps == []


async def test_a_file_that_arrives_short_is_not_accepted(sink: FolderSink, shelf: Shelf) -> None:
    shelf.after = lambda step, path: shelf.put(path, b"cont") if step == "write" else None
    error = error_of(await send(sink, delivery()))
    assert (type(error), error.code) == (TransientError, "size_mismatch")
    assert shelf.names() == []


@pytest.mark.parametrize("error", [NotFound("no folder"), Denied("no right"), AWAY], ids=lambda e: e.code)
@pytest.mark.parametrize("step", ["stat", "write"])
async def test_what_fails_before_the_rename_was_not_delivered(
    sink: FolderSink, shelf: Shelf, step: str, error: CrossplantError
) -> None:
    shelf.fault = lambda at, path: error if at == step else None
    assert await send(sink, delivery()) == Failed(error)


async def test_a_rename_without_an_answer_is_unknown(sink: FolderSink, shelf: Shelf) -> None:
    shelf.fault = lambda at, path: AWAY if at == "move" else None
    assert await send(sink, delivery()) == Unknown(AWAY)
    shelf.fault = lambda at, path: None
    assert await sink.lookup(delivery()) is None
    assert await send(sink, delivery()) == Accepted("a.edi")
    assert await sink.lookup(delivery()) == Accepted("a.edi")


async def test_a_refused_rename_is_known(sink: FolderSink, shelf: Shelf) -> None:
    denied = Denied("no right")
    shelf.fault = lambda at, path: denied if at == "move" else None
    assert await send(sink, delivery()) == Failed(denied)


async def test_lookup_finds_the_suffixed_file(sink: FolderSink, shelf: Shelf) -> None:
    shelf.put("a.edi", b"theirs!")
    assert await sink.lookup(delivery()) is None
    await send(sink, delivery())
    assert await sink.lookup(delivery()) == Accepted(suffixed("a.edi", "i-k", b"content"))


async def test_lookup_goes_by_the_size_where_we_may_not_read(sink: FolderSink, shelf: Shelf) -> None:
    await send(sink, delivery())
    shelf.fault = lambda at, path: Denied("write only") if at == "read" else None
    assert await sink.lookup(delivery()) == Accepted("a.edi")
    assert await sink.lookup(delivery(payload=b"longer content")) is None


async def test_lookup_that_cannot_ask_says_so(sink: FolderSink, shelf: Shelf) -> None:
    shelf.fault = lambda at, path: AWAY
    assert await sink.lookup(delivery()) == Failed(AWAY)
    assert isinstance(error_of(await sink.lookup(delivery(name="../a"))), Invalid)


async def test_a_failure_holds_back_its_own_key_only(sink: FolderSink, shelf: Shelf) -> None:
    outcomes = await sink.send([delivery("../a", key="x"), delivery("b", key="x"), delivery("c", key="y")])
    assert [type(outcome) for outcome in outcomes] == [Failed, NotTried, Accepted]


async def test_after_an_outage_nothing_more_is_tried(sink: FolderSink, shelf: Shelf) -> None:
    shelf.fault = lambda at, path: AWAY
    outcomes = await sink.send([delivery("a", key="x"), delivery("b", key="y")])
    assert [type(outcome) for outcome in outcomes] == [Failed, NotTried]
    assert len(shelf.steps) == 1
