"""What a retry of a dead letter would do by the adapters, routes and codes of this moment."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime

import msgspec
from msgspec import structs

from canonical.errors import CrossplantError, Invalid, Stage, Unresolved
from canonical.event import Event, decode, payload_hash
from canonical.ports import RawMessage
from deadletter.dryrun import Outcome, Sent, Verdict
from deadletter.entry import DeadLetter
from deadletter.service import raw_of
from gateway import reading
from gateway.connections import RunningAdapter, intake_of
from gateway.trial import made, taken
from router import lanes
from router.crosswalk import Crosswalk
from router.engine import Engine
from router.enrichment import ReadModels
from router.ingest import Intake
from router.journal.sqlite import SQLiteJournal
from router.routes import Route

__all__ = ["Dry"]

_WORST: tuple[Outcome, ...] = ("would_fail", "would_park", "would_deliver", "nothing_to_send")


class Dry:
    """Implements ``deadletter.dryrun.Trial`` with what runs when it is made."""

    def __init__(
        self,
        journal: SQLiteJournal,
        adapters: Mapping[str, RunningAdapter],
        engines: Mapping[str, Engine],
        crosswalk: Crosswalk,
        models: ReadModels,
        clock: Callable[[], datetime],
    ) -> None:
        self._journal, self._adapters, self._clock = journal, dict(adapters), clock
        self._routes = {name: engine.route for name, engine in engines.items()}
        self._crosswalk, self._models = crosswalk, models
        self._intakes: dict[str, Intake] = {}

    async def verdict(self, letter: DeadLetter, content: bytes | None = None) -> Verdict:
        """See ``deadletter.dryrun.Trial``."""
        if letter.kind == "message":
            return await self._of_message(letter, content)
        return await self._of_delivery(letter, content)

    # ── a delivery that one route could not make ─────────────────────────────────────────────────

    async def _of_delivery(self, letter: DeadLetter, content: bytes | None) -> Verdict:
        route = self._routes.get(letter.route)
        if route is None:
            return _not_possible(letter, f"route {letter.route!r} does not run any more")
        event = decode(await self._event(letter))
        if content is not None:
            event = structs.replace(event, data=msgspec.json.decode(content))
        found = await self._sent(letter, route, event)
        if found.outcome == "would_deliver" and letter.stage == Stage.SENDING.value and content is None:
            reason = f"{route.to} decides again; the last time it said: {letter.error}"
            return structs.replace(found, outcome="target_decides", code=letter.code, reason=reason)
        return found

    async def _event(self, letter: DeadLetter) -> bytes:
        """The event as it stands in its lane, where an edit may have changed it."""
        rows = await self._journal.read(lambda t: lanes.heads(t, letter.route, letter.key, 1))
        if rows and rows[0].position == letter.position:
            return rows[0].event
        assert letter.event is not None
        return letter.event

    async def _sent(self, letter: DeadLetter, route: Route, event: Event) -> Verdict:
        """What the route makes of the event, with what the read models know now."""
        try:
            one = await made(route, event, self._crosswalk, self._models, self._clock)
        except CrossplantError as error:
            return Verdict(
                dead_letter=letter.id,
                outcome="would_park" if isinstance(error, Unresolved) else "would_fail",
                where=route.name,
                code=error.code,
                reason=error.message,
                errors=error.errors if isinstance(error, Invalid) else (),
            )
        if one is None:
            reason = "the route's condition leaves it out, or it is a test"
            return Verdict(dead_letter=letter.id, outcome="nothing_to_send", where=route.name, reason=reason)
        sent = Sent(route=route.name, to=route.to, content_type=one.content_type, payload=one.payload)
        return Verdict(dead_letter=letter.id, outcome="would_deliver", where=route.name, sent=(sent,))

    # ── a message that could not be taken in ─────────────────────────────────────────────────────

    async def _of_message(self, letter: DeadLetter, content: bytes | None) -> Verdict:
        raw = raw_of(letter)
        intake = self._intake(letter.adapter)
        if intake is None:
            return _not_possible(letter, f"adapter {letter.adapter!r} takes nothing in any more")
        if content is not None:
            raw = structs.replace(raw, body=content)
        events, faults = await taken(intake, raw, self._clock)
        if faults:
            return _refused(letter, raw, faults[0].code, faults[0].message, faults)
        new: list[Event] = []
        for event in events:
            known = await self._known(event)
            if known == "conflict":
                said = f"event {event.id} of {event.source} came before with other content"
                return _refused(letter, raw, "conflict", said)
            new += [] if known else [event]
        return await self._of_events(letter, new, repeated=len(events) - len(new))

    def _intake(self, name: str) -> Intake | None:
        running = self._adapters.get(name)
        if running is None or running.source is None:
            return None
        if name not in self._intakes:
            self._intakes[name] = intake_of(running)
        return self._intakes[name]

    async def _known(self, event: Event) -> str:
        """``duplicate``, ``conflict``, or empty for an event that is new."""
        position = await self._journal.position_of(event.source, event.id)
        if position is None:
            return ""
        earlier = await reading.at(self._journal, position)
        same = earlier is None or payload_hash(earlier.event) == payload_hash(event)
        return "duplicate" if same else "conflict"

    async def _of_events(self, letter: DeadLetter, events: list[Event], repeated: int) -> Verdict:
        """The worst that comes of them, with all that would be sent."""
        each = [
            await self._sent(letter, route, event)
            for event in events
            for route in self._routes.values()
            if route.takes(event)
        ]
        if not any(one.outcome in _WORST[:3] for one in each):
            told = f"{len(events)} new event{'' if len(events) == 1 else 's'} recorded, for no route"
            reason = told if events or not repeated else "all its events are recorded already"
            return Verdict(
                dead_letter=letter.id, outcome="nothing_to_send", where=letter.adapter, reason=reason
            )
        worst = min(each, key=lambda one: _WORST.index(one.outcome))
        return structs.replace(worst, sent=tuple(sent for one in each for sent in one.sent))


def _not_possible(letter: DeadLetter, reason: str) -> Verdict:
    where = letter.route or letter.adapter
    return Verdict(
        dead_letter=letter.id, outcome="not_possible", where=where, code="not_possible", reason=reason
    )


def _refused(
    letter: DeadLetter, raw: RawMessage, code: str, reason: str, faults: Iterable[Invalid] = ()
) -> Verdict:
    return Verdict(
        dead_letter=letter.id,
        outcome="would_fail",
        where=raw.adapter,
        code=code,
        reason=reason,
        errors=tuple(error for fault in faults for error in (fault.errors or (("", fault.message),))),
    )
