"""Gives a message that comes again the id that it had before.

MQTT has no message ids, only packet identifiers ("mid") that are used again and again. But per mid
only the newest message can come again, so the newest per mid is all there is to remember, and a
message is the same one when mid, topic and payload are the same and

- it is flagged DUP, or
- it arrives on another connection although the one before, on this mid, was never acknowledged: a
  broker may not use such a mid for anything else. (Some brokers forget the flag.)

What remains open, and the README says so: a new message with the very same topic, payload and mid
whose first transmission got lost on the way is taken for the former one; and a broker that lost
track (killed before it saved) sends a message anew, without the flag or with another mid.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import islice

from canonical.ports import RawMessage

__all__ = ["Seen", "Window"]

Seen = tuple[bytes, int, str]
"""A message on its mid: topic, hash of the payload (Python's keyed 64-bit one, good for this process), id."""

LARGEST_MID = 65_535


class Window:
    """The newest message per mid, ``most`` of them, the oldest forgotten first."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._seen: dict[int, Seen] = {}
        self._unacknowledged: set[int] = set()
        self._earlier: set[int] = set()

    def load(self, history: Iterable[RawMessage]) -> None:
        """Remembers committed messages, oldest first: they may have been acknowledged, or not."""
        for raw in history:
            mid, topic = raw.attributes.get("mid"), raw.attributes.get("topic")
            if isinstance(mid, int) and isinstance(topic, str) and 0 < mid <= LARGEST_MID:
                self.add({mid: (topic.encode(), hash(raw.body), raw.id)})
        self._unacknowledged.clear()

    def new_connection(self, *, session_present: bool) -> None:
        """From now on another connection brings messages; without a session nothing comes again."""
        if not session_present:
            self._seen.clear()
            self._unacknowledged.clear()
        self._earlier = set(self._unacknowledged)

    @property
    def expects_unflagged(self) -> bool:
        """Whether messages without DUP have to be looked up, too."""
        return bool(self._earlier)

    def known(self, mid: int, topic: bytes, payload: bytes, *, dup: bool) -> str | None:
        """The id under which this message came before; None for a new one."""
        seen = self._seen.get(mid)
        if seen is None or not (dup or mid in self._earlier):
            return None
        return seen[2] if seen[0] == topic and seen[1] == hash(payload) else None

    def add(self, seen: Mapping[int, Seen]) -> None:
        """Remembers messages that came in, in order."""
        for mid in seen.keys() & self._seen.keys():
            del self._seen[mid]
        self._seen.update(seen)
        self._unacknowledged.update(seen)
        if len(self._seen) > self._most:
            oldest = list(islice(self._seen, len(self._seen) - self._most))
            for mid in oldest:
                del self._seen[mid]
            self._unacknowledged.difference_update(oldest)

    def acknowledged(self, mids: Sequence[int]) -> None:
        """Their acknowledgements are sent; whether they arrive is not known, so the messages stay known."""
        self._unacknowledged.difference_update(mids)
        if self._earlier:
            self._earlier.difference_update(mids)
