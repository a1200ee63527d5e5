"""What became of one event on every route: settled deliveries, lanes, dead letters, and what still waits."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Literal

import msgspec
from msgspec import Struct

from canonical.errors import CrossplantError
from canonical.ports import Recorded, Transaction
from deadletter import store as dead_letters
from deadletter.entry import DeadLetter
from gateway.hub import Hub
from router import shadow
from router.engine import Engine
from router.routes import idempotency_key
from router.shadow import SHADOW, Shadowed
from router.spans import Span, receipt_of

__all__ = ["State", "Trail", "read"]

State = Literal[
    "not_matched",
    "passed",
    "shadow",
    "waiting",
    "delivered",
    "retrying",
    "parked",
    "dead",
    "blocked",
    "discarded",
]
_AT_ONCE = 200
_LETTERS = 100
_COMMIT_S = 1.0


class Trail(Struct, kw_only=True):
    """One route. Times are seconds since 1970 UTC, 0 for none; ``reason`` says why it waits or passed;
    ``shadowed`` what a shadow recorded."""

    route: str
    state: State
    at: float = 0.0
    attempts: int = 0
    receipt: str = ""
    due_at: float = 0.0
    code: str = ""
    error: str = ""
    dead_letter: int | None = None
    reason: str = ""
    shadowed: Shadowed | None = None


class _Detail(Struct, array_like=True):
    """What a row of ``deliveries`` holds (router.journal.sqlite)."""

    delivered: list[Span]
    attempts: dict[int, int]


_details = msgspec.msgpack.Decoder(_Detail)


async def read(hub: Hub, item: Recorded) -> tuple[list[Trail], list[DeadLetter]]:
    """A trail per route, in the routes' order, and the event's dead letters, newest first.

    A route that is past the event, and has no row of it, may have delivered it a moment ago: settlements
    are written with the next commit. So one is made before it is said that the event was passed over.
    """
    engines = list(hub.engines.values())

    def work(transaction: Transaction) -> tuple[list[Trail], list[DeadLetter]]:
        letters = dead_letters.page(transaction, {"position": item.position}, limit=_LETTERS)
        return [_trail(transaction, engine, item, letters) for engine in engines], letters

    found = await hub.journal.read(work)
    if any(each.state == "passed" for each in found[0]):
        with contextlib.suppress(CrossplantError, TimeoutError):  # no disk for it: what is known has to do
            async with asyncio.timeout(_COMMIT_S):
                await hub.journal.write(lambda _: None)
            found = await hub.journal.read(work)
    return found


def _trail(transaction: Transaction, engine: Engine, item: Recorded, letters: list[DeadLetter]) -> Trail:
    route = engine.route
    if not route.takes(item.event):
        return Trail(route=route.name, state="not_matched", reason="the route is for other types or plants")
    found = _in_lane(transaction, engine, item) or _delivered(transaction, route.name, item.position)
    if found is not None:
        if found.state == "shadow":
            found.shadowed = shadow.find(transaction, route.name, idempotency_key(route.name, item.event))
        return found
    discarded = [letter for letter in letters if letter.route == route.name and letter.status == "discarded"]
    if discarded:
        letter = discarded[0]
        return Trail(
            route=route.name,
            state="discarded",
            at=letter.resolved_at or 0.0,
            attempts=letter.attempts,
            code=letter.code,
            error=letter.error,
            dead_letter=letter.id,
            reason=letter.reason,
        )
    status = engine.status
    if item.position <= status.cursor:
        reason = "the route's condition leaves it out, or the route began after it"
        return Trail(route=route.name, state="passed", reason=reason)
    return Trail(
        route=route.name,
        state="waiting",
        reason=f"the route is paused: {status.reason}" if status.state == "paused" else "its turn will come",
    )


def _in_lane(transaction: Transaction, engine: Engine, item: Recorded) -> Trail | None:
    rows = transaction.execute(
        "SELECT state, entered_at, attempts, due_at, code, error, dead_letter FROM lanes "
        "WHERE route = ? AND key = ? AND position = ?",
        (engine.route.name, engine.route.key(item.event), item.position),
    )
    if not rows:
        return None
    state, entered_at, attempts, due_at, code, error, dead_letter = rows[0]
    return Trail(
        route=engine.route.name,
        state="blocked" if state == "waiting" else state,
        at=entered_at,
        attempts=attempts,
        due_at=due_at,
        code=code,
        error=error,
        dead_letter=dead_letter,
        reason="waits behind another event with the same key" if state == "waiting" else "",
    )


def _delivered(transaction: Transaction, route: str, position: int) -> Trail | None:
    """Deliveries are kept in ranges that overlap: the newest range is the likeliest."""
    before = (position + 1, 0)
    while True:
        rows = transaction.execute(
            "SELECT first, id, at, detail FROM deliveries WHERE route = ? AND (first, id) < (?, ?) "
            "AND first <= ? AND last >= ? ORDER BY first DESC, id DESC LIMIT ?",
            (route, *before, position, position, _AT_ONCE),
        )
        for _, _, at, detail in rows:
            known = _details.decode(detail)
            receipt = receipt_of(known.delivered, position)
            if receipt == SHADOW:
                return Trail(route=route, state="shadow", at=at, reason="recorded, not delivered")
            if receipt is not None:
                attempts = known.attempts.get(position, 1)
                return Trail(route=route, state="delivered", at=at, attempts=attempts, receipt=receipt)
        if len(rows) < _AT_ONCE:
            return None
        before = (int(rows[-1][0]), int(rows[-1][1]))
