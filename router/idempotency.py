"""The key under which a receiver can tell that it has a delivery already.

It must stay the same over attempts, restarts and versions: what was delivered by an earlier version is told
apart by it, too.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b

from canonical.event import Event

__all__ = ["Keys", "idempotency_key"]

_MOST_SOURCES = 10_000


class Keys:
    """The idempotency keys of one route: ``route:26 hex digits`` of (source, id).

    Hashing begins with the source, which many events share: that part is done once.
    """

    def __init__(self, route: str) -> None:
        self._prefix = f"{route}:"
        self._begun: dict[str, blake2b] = {}

    def of(self, event: Event) -> str:
        """The same for every attempt of this event."""
        digest = self._of_source(event.source).copy()
        digest.update(event.id.encode())
        return self._prefix + digest.hexdigest()

    def of_all(self, source: str, ids: Sequence[str]) -> list[str]:
        """``of`` for events of one source."""
        prefix, begun = self._prefix, self._of_source(source).copy
        keys = []
        for each in ids:
            digest = begun()
            digest.update(each.encode())
            keys.append(prefix + digest.hexdigest())
        return keys

    def _of_source(self, source: str) -> blake2b:
        begun = self._begun.get(source)
        if begun is None:
            if len(self._begun) >= _MOST_SOURCES:
                self._begun.clear()
            begun = self._begun[source] = blake2b(f"{source}\0".encode(), digest_size=13)
        return begun


def idempotency_key(route: str, event: Event) -> str:
    """The key of one event on one route, as ``Keys`` gives it."""
    digest = blake2b(f"{event.source}\0{event.id}".encode(), digest_size=13).hexdigest()
    return f"{route}:{digest}"
