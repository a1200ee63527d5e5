"""Gives a message without a message-id that comes again the id that it had before.

AMQP has no identity of its own: a delivery tag is good for one channel. But a broker has at most
``prefetch`` messages unacknowledged with us, and we acknowledge in order, so that only the newest
``prefetch`` messages of a connection can come again, flagged as redelivered. A flagged message is
the same one when its body and properties are the same; each is recognised once per connection.

What remains open, and the README says so: a message whose first delivery never arrived, and that is
the same in body and all properties as one of those, is taken for it. Senders that set a message-id,
or a time stamp, have no such messages.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

from canonical.ports import RawMessage

__all__ = ["Window", "fingerprint"]

PER_DELIVERY = frozenset({"redelivered", "header.x-delivery-count", "header.x-acquired-count"})
"""Attributes that differ when the same message comes again."""


def fingerprint(raw: RawMessage) -> int:
    """Python's keyed 64-bit hash, good for this process, of the body and what the sender said of it."""
    said = frozenset((name, value) for name, value in raw.attributes.items() if name not in PER_DELIVERY)
    return hash((raw.body, raw.content_type, said))


class Window:
    """The newest messages of a connection, ``most`` of them, and what may come again of earlier ones."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._acknowledged = 0
        self._current: deque[tuple[int, int, str]] = deque(maxlen=most)
        self._earlier: dict[int, deque[str]] = {}

    def load(self, history: Iterable[RawMessage]) -> None:
        """Remembers committed messages, oldest first: they may have been acknowledged, or not."""
        self._remember([(fingerprint(raw), raw.id) for raw in history])

    def new_connection(self) -> None:
        """From now on another connection brings messages; its delivery tags start at 1."""
        certain = [(print_, id_) for tag, print_, id_ in self._current if tag > self._acknowledged]
        perhaps = [(print_, id_) for tag, print_, id_ in self._current if tag <= self._acknowledged]
        unclaimed = [(print_, id_) for print_, ids in self._earlier.items() for id_ in ids]
        self._remember([*certain, *perhaps, *unclaimed])
        self._current.clear()
        self._acknowledged = 0

    def known(self, print_: int) -> str | None:
        """The id under which a redelivered message came before; None when it is new to us."""
        ids = self._earlier.get(print_)
        if not ids:
            return None
        found = ids.popleft()
        if not ids:
            del self._earlier[print_]
        return found

    def add(self, tag: int, print_: int, message_id: str) -> None:
        """Remembers a message that came in under this delivery tag."""
        self._current.append((tag, print_, message_id))

    def acknowledged(self, tag: int) -> None:
        """The acknowledgement up to ``tag`` is sent; whether it arrived is not known."""
        self._acknowledged = max(self._acknowledged, tag)

    def _remember(self, messages: Iterable[tuple[int, str]]) -> None:
        """The first of them, twice ``most`` at most, replace what was remembered of earlier connections."""
        self._earlier = {}
        for print_, message_id in list(messages)[: 2 * self._most]:
            self._earlier.setdefault(print_, deque()).append(message_id)
