"""Which message is the same one again."""

from __future__ import annotations

from datetime import UTC, datetime

from adapters.mqtt.redelivery import Window
from canonical.ports import RawMessage

ONE, TWO, THREE = 1, 2, 3


def _add(window: Window, mid: int, message_id: str, topic: bytes = b"t", payload: bytes = b"p") -> None:
    window.add({mid: (topic, hash(payload), message_id)})


def _raw(message_id: str, mid: int, body: bytes = b"p") -> RawMessage:
    return RawMessage(
        adapter="a",
        id=message_id,
        body=body,
        received_at=datetime.now(UTC),
        attributes={"mid": mid, "topic": "t"},
    )


def test_a_flagged_message_on_the_same_mid_is_the_same_one() -> None:
    window = Window(10)
    _add(window, ONE, "first")
    window.new_connection(session_present=True)
    assert window.known(ONE, b"t", b"p", dup=True) == "first"


def test_another_topic_payload_or_mid_is_another_message() -> None:
    window = Window(10)
    _add(window, ONE, "first")
    assert window.known(ONE, b"u", b"p", dup=True) is None
    assert window.known(ONE, b"t", b"q", dup=True) is None
    assert window.known(TWO, b"t", b"p", dup=True) is None


def test_only_the_newest_message_of_a_mid_can_come_again() -> None:
    window = Window(10)
    _add(window, ONE, "first", payload=b"p")
    _add(window, ONE, "second", payload=b"q")
    assert window.known(ONE, b"t", b"p", dup=True) is None
    assert window.known(ONE, b"t", b"q", dup=True) == "second"


def test_an_unflagged_message_is_new_on_the_same_connection() -> None:
    window = Window(10)
    _add(window, ONE, "first")
    assert not window.expects_unflagged
    assert window.known(ONE, b"t", b"p", dup=False) is None


def test_an_unacknowledged_message_is_known_on_the_next_connection_without_the_flag() -> None:
    window = Window(10)
    _add(window, ONE, "unacknowledged")
    _add(window, TWO, "acknowledged")
    window.acknowledged([TWO])
    window.new_connection(session_present=True)
    assert window.expects_unflagged
    assert window.known(ONE, b"t", b"p", dup=False) == "unacknowledged"
    assert window.known(TWO, b"t", b"p", dup=False) is None


def test_an_acknowledgement_may_have_been_lost() -> None:
    window = Window(10)
    _add(window, ONE, "first")
    window.acknowledged([ONE])
    window.new_connection(session_present=True)
    assert window.known(ONE, b"t", b"p", dup=True) == "first"


def test_a_new_session_brings_nothing_again() -> None:
    window = Window(10)
    _add(window, ONE, "first")
    window.new_connection(session_present=False)
    assert window.known(ONE, b"t", b"p", dup=True) is None
    assert not window.expects_unflagged


def test_history_is_known_when_flagged_and_its_newest_message_of_a_mid_counts() -> None:
    window = Window(10)
    window.load([_raw("old", 1), _raw("qos0", 0), _raw("new", 1), _raw("other", 2)])
    assert window.known(ONE, b"t", b"p", dup=True) == "new"
    assert window.known(TWO, b"t", b"p", dup=True) == "other"
    assert window.known(ONE, b"t", b"p", dup=False) is None


def test_the_oldest_is_forgotten_first() -> None:
    window = Window(2)
    _add(window, ONE, "first")
    _add(window, TWO, "second")
    _add(window, ONE, "first again")
    _add(window, THREE, "third")
    assert window.known(TWO, b"t", b"p", dup=True) is None
    assert window.known(ONE, b"t", b"p", dup=True) == "first again"
    assert window.known(THREE, b"t", b"p", dup=True) == "third"
