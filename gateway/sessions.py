"""Sessions of people: a proven key becomes a token in a cookie, for a shift at most.

They live in memory: a restart of the hub ends them, as does whatever ends their key.
"""

from __future__ import annotations

import secrets
import time
from collections import OrderedDict
from collections.abc import Callable
from datetime import UTC, datetime
from hashlib import blake2b
from typing import Final

from msgspec import Struct

from canonical.event import utc_now
from gateway.keys import Key, Keys

__all__ = ["IDLE_S", "LONGEST_S", "Session", "Sessions"]

LONGEST_S: Final = 12 * 3600.0
"""A shift and what comes before and after it."""
IDLE_S: Final = 2 * 3600.0
"""So long nobody may have asked for anything; what a page fetches by itself does not count."""
_MOST: Final = 2000


class Session(Struct):
    """One login. ``csrf`` stands in every form; times are seconds of a monotonic clock."""

    key: Key
    csrf: str
    generation: int
    opened_s: float
    seen_s: float


class Sessions:
    """The open sessions of one hub. Memory is bounded: the one not used for longest goes first."""

    def __init__(
        self,
        keys: Keys,
        *,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], datetime] = utc_now,
    ) -> None:
        self._keys, self._clock, self._now = keys, clock, now
        self._open: OrderedDict[bytes, Session] = OrderedDict()

    def open(self, key: Key) -> tuple[str, Session]:
        """A new session for a key that was just verified, and its token, which nobody keeps."""
        token, now = secrets.token_urlsafe(32), self._clock()
        session = Session(
            key=key,
            csrf=secrets.token_urlsafe(32),
            generation=self._keys.generation(key.id),
            opened_s=now,
            seen_s=now,
        )
        self._open[_digest(token)] = session
        while len(self._open) > _MOST:
            self._open.popitem(last=False)
        return token, session

    def find(self, token: str, *, touch: bool = True) -> Session | None:
        """The session of a token while it and its key are valid. ``touch``: a person asked, not a page."""
        digest = _digest(token)
        session = self._open.get(digest)
        if session is None:
            return None
        if not self._valid(session):
            del self._open[digest]
            return None
        if touch:
            session.seen_s = self._clock()
            self._open.move_to_end(digest)
        return session

    def end(self, token: str) -> None:
        """Ends it, if it is open."""
        self._open.pop(_digest(token), None)

    def _valid(self, session: Session) -> bool:
        now = self._clock()
        return (
            now - session.opened_s < LONGEST_S
            and now - session.seen_s < IDLE_S
            and session.generation == self._keys.generation(session.key.id)
            and session.key.valid(self._now().astimezone(UTC).timestamp())
        )


def _digest(token: str) -> bytes:
    return blake2b(token.encode("utf-8", "replace"), digest_size=16).digest()
