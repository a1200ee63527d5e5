"""What a route tells of itself: what it is doing, and what became of its events."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from msgspec import Struct

from canonical.event import Event

__all__ = ["Observer", "RouteStatus"]


class Observer(Protocol):
    """Who counts. Called once per settlement, not per event."""

    def delivered(self, route: str, events: Sequence[Event], at: datetime) -> object:
        """Returns what is to be kept with the settlement, as MessagePack, or None."""
        ...

    def ended(self, route: str, event: Event, outcome: str) -> None: ...


class RouteStatus(Struct, frozen=True, kw_only=True):
    """What a route is doing. ``oldest_at``: recordedtime of the oldest event that waits in memory."""

    name: str
    state: str
    reason: str
    paused_for_s: float | None
    probe_in_s: float | None
    cursor: int
    waiting: int
    in_flight: int
    lagging: bool
    oldest_at: datetime | None
