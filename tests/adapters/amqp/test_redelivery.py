"""Which message is the same one again."""

from __future__ import annotations

from datetime import UTC, datetime

from adapters.amqp.redelivery import Window, fingerprint
from canonical.ports import Attribute, RawMessage


def _raw(message_id: str, body: bytes = b"p", **attributes: Attribute) -> RawMessage:
    said: dict[str, Attribute] = {"exchange": "e", "routing_key": "k", **attributes}
    return RawMessage(adapter="a", id=message_id, body=body, received_at=datetime.now(UTC), attributes=said)


def _add(window: Window, tag: int, message_id: str, body: bytes = b"p") -> None:
    window.add(tag, fingerprint(_raw(message_id, body)), message_id)


PRINT = fingerprint(_raw(""))


def test_what_the_broker_adds_makes_no_difference_all_else_does() -> None:
    again: dict[str, Attribute] = {"redelivered": True, "header.x-delivery-count": 3}
    assert fingerprint(_raw("1", redelivered=False)) == fingerprint(_raw("2", b"p", **again))
    for other in (_raw("1", b"q"), _raw("1", routing_key="l"), _raw("1", timestamp="t"), _raw("1", type="t")):
        assert fingerprint(other) != PRINT


def test_nothing_is_known_on_the_same_connection() -> None:
    window = Window(10)
    _add(window, 1, "first")
    assert window.known(PRINT) is None


def test_a_message_is_known_once_on_the_next_connection() -> None:
    window = Window(10)
    _add(window, 1, "first")
    window.new_connection()
    assert [window.known(PRINT), window.known(PRINT)] == ["first", None]


def test_equal_messages_are_known_unacknowledged_ones_first_then_in_order() -> None:
    window = Window(10)
    for tag, name in enumerate(("one", "two", "three", "four"), start=1):
        _add(window, tag, name)
    window.acknowledged(2)
    window.new_connection()
    assert [window.known(PRINT) for _ in range(5)] == ["three", "four", "one", "two", None]


def test_only_as_many_as_the_broker_may_have_unacknowledged_are_remembered() -> None:
    window = Window(2)
    for tag, name in enumerate(("one", "two", "three"), start=1):
        _add(window, tag, name)
    window.new_connection()
    assert [window.known(PRINT) for _ in range(3)] == ["two", "three", None]


def test_what_did_not_come_again_yet_stays_known_over_connections() -> None:
    window = Window(10)
    _add(window, 1, "first")
    window.new_connection()
    window.new_connection()
    assert window.known(PRINT) == "first"


def test_history_is_known() -> None:
    window = Window(10)
    window.load([_raw("old", b"q"), _raw("new")])
    window.new_connection()
    assert window.known(PRINT) == "new"
