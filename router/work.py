"""One event on its way on one route."""

from __future__ import annotations

from msgspec import Struct

from canonical.errors import CrossplantError
from canonical.event import Event
from router.window import Part

__all__ = ["Work"]


class Work(Struct, gc=False):
    """One event on its way on one route.

    ``promoted``: it waited for its key and is next. ``first_failed_s``: the breaker's open time at
    its first failure. ``lookup``: an earlier attempt may have arrived. ``alone``: a paused route is
    probed with it, since there is nothing else. ``part``: what it was taken with; None from a lane.
    """

    position: int
    event: Event
    key: str
    attempts: int = 0
    first_failed_s: float | None = None
    promoted: bool = False
    lookup: bool = False
    from_lane: bool = False
    alone: bool = False
    dead_letter: int | None = None
    entered_at: float = 0.0
    error: CrossplantError | None = None
    part: Part | None = None
