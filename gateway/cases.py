"""The deployment's own cases: a message through decoder, envelope and routes, without a network or a disk.

The way is the hub's: ``router.ingest`` takes the message in, over a journal that forgets, and the routes are
those that ``gateway.compile`` makes. Only sinks are missing.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import msgspec
from msgspec import Struct

from canonical import catalogue
from canonical.errors import ConfigError, PermanentError
from canonical.event import Event, utc_now
from canonical.ports import RawMessage
from canonical.spec import AdapterContext, Health
from config.model import Case, Deployment, Expectation, ExpectedDelivery
from gateway.comparing import Difference, differences
from gateway.compile import compile_route, crosswalk_of, decoder_of, inbound_codes
from gateway.enriching import Told
from gateway.trial import Made, Silent, made_each, taken
from router.enrichment import NotKnown
from router.ingest import Intake

__all__ = ["Bench", "Refused", "Verdict", "body_of"]

_ID: Final = "case"


class Refused(Struct, frozen=True, kw_only=True):
    """What would become a dead letter, or be parked: the message, or the delivery on a route."""

    code: str
    error: str
    route: str = ""

    def __str__(self) -> str:
        where = f"on route {self.route}" if self.route else "the message"
        return f"{where}: {self.code}: {self.error}"


class Verdict(Struct, frozen=True, kw_only=True):
    """What came of a case, and what is wrong with that; nothing when it passed."""

    name: str
    faults: list[str]
    events: list[Event]
    deliveries: list[Made]
    refused: list[Refused]

    @property
    def passed(self) -> bool:
        """Whether it is all as expected."""
        return not self.faults


class Bench:
    """A deployment on which messages are tried. Raises ConfigError for what a check would have found."""

    def __init__(self, deployment: Deployment, clock: Callable[[], datetime] = utc_now) -> None:
        self._deployment, self._clock = deployment, clock
        self._crosswalk = crosswalk_of(deployment)
        inbound = inbound_codes(deployment)
        self._routes = [
            compile_route(name, route, inbound, deployment.python)
            for name, route in deployment.routes.items()
        ]

    @property
    def adapters(self) -> Collection[str]:
        """The adapters through which a message may come in."""
        return self._deployment.adapters.keys()

    async def judge(self, case: Case) -> Verdict:
        """What comes of a case's message, held against what is expected."""
        events, deliveries, refused = await self.trial(
            case.send.adapter, body_of(case), case.send.attributes, _content_type(case), case.knows
        )
        faults = list(_faults(case.expect, events, deliveries, refused))
        return Verdict(name=case.name, faults=faults, events=events, deliveries=deliveries, refused=refused)

    async def trial(
        self,
        adapter: str,
        body: bytes,
        attributes: Mapping[str, Any],
        content_type: str = "",
        knows: Mapping[str, Mapping[str, Mapping[str, Any]]] | None = None,
    ) -> tuple[list[Event], list[Made], list[Refused]]:
        """(events, deliveries, what was refused) of a message that comes in through an adapter.

        ``knows``: what routes enrich from, by service and key.
        """
        models = Told(knows or {})
        raw = RawMessage(
            adapter=adapter,
            id=_ID,
            body=body,
            received_at=self._clock(),
            content_type=content_type,
            attributes=dict(attributes),
        )
        events, faults = await taken(self._intake(adapter), raw, self._clock)
        refused = [Refused(code=fault.code, error=fault.message) for fault in faults]
        deliveries: list[Made] = []
        for event in events:
            for route in self._routes:
                if not route.takes(event):
                    continue
                try:
                    deliveries += await made_each(route, event, self._crosswalk, models, self._clock)
                except (PermanentError, NotKnown) as error:
                    refused.append(Refused(code=error.code, error=error.message, route=route.name))
        return events, deliveries, refused

    def _intake(self, name: str) -> Intake:
        adapter = self._deployment.adapters[name]
        if adapter.format is None and adapter.spec.decoder is None:
            raise ConfigError(f"adapter {name!r} has no format, so nothing comes in through it")
        context = AdapterContext(
            name=name,
            source=self._deployment.event_source(name),
            plant=adapter.plant,
            partner=adapter.partner,
            timezone=self._deployment.timezone(name),
            data_dir=Path(os.devnull),
            log=Silent(),
            clock=self._clock,
        )
        return Intake(
            name=name,
            source=context.source,
            plant=adapter.plant,
            decoder=decoder_of(adapter, context),
            health=Health(),
        )


def body_of(case: Case) -> bytes:
    """The bytes of a case's message: of its file, its text, or JSON. Raises ConfigError."""
    sent = case.send
    if sent.file is not None:
        try:
            return sent.file.read_bytes()
        except OSError as error:
            raise ConfigError(
                f"{sent.file}: cannot be read: {error.strerror}", file=str(sent.file)
            ) from error
    return sent.body.encode() if isinstance(sent.body, str) else msgspec.json.encode(sent.body)


def _content_type(case: Case) -> str:
    json = case.send.file is None and not isinstance(case.send.body, str)
    return "application/json" if json else ""


# ── what is wrong ───────────────────────────────────────────────────────────────────────────────


def _faults(
    expect: Expectation, events: Sequence[Event], deliveries: Sequence[Made], refused: Sequence[Refused]
) -> Iterator[str]:
    expected = list(expect.refused)
    for one in refused:
        if one.code in expected:
            expected.remove(one.code)
        else:
            yield f"refused, {one}"
    yield from (f"expected something to be refused with the code {code!r}" for code in expected)
    if expect.events is not None:
        yield from _of_events(expect, events)
    if expect.deliveries is not None:
        yield from _of_deliveries(expect.deliveries, deliveries)


def _of_events(expect: Expectation, events: Sequence[Event]) -> Iterator[str]:
    wanted = list(expect.events or ())
    for number, (expected, event) in enumerate(zip(wanted, events, strict=False), start=1):
        name = f"event {number}, {catalogue.get(event.type).suffix}"
        if catalogue.full_name(expected.type) != event.type:
            yield f"{name}: expected {expected.type}"
        elif expected.contains is not None:
            yield from (f"{name}: {one}" for one in differences(expected.contains, event.data, "data"))
    for expected in wanted[len(events) :]:
        yield f"expected an event {expected.type}, there is none"
    for event in events[len(wanted) :]:
        yield f"unexpected event {catalogue.get(event.type).suffix}, {event.subject or event.id}"


def _of_deliveries(wanted: Sequence[ExpectedDelivery], deliveries: Sequence[Made]) -> Iterator[str]:
    """Each expected one is held against the nearest of its route that is left."""
    rest = list(deliveries)
    for expected in wanted:
        candidates = [
            (list(differences(expected.contains, each.value)) if expected.contains is not None else [], each)
            for each in rest
            if each.route == expected.route
        ]
        if not candidates:
            yield f"expected a delivery on route {expected.route}, there is none"
            continue
        found: tuple[list[Difference], Made] = min(candidates, key=lambda pair: len(pair[0]))
        rest.remove(found[1])
        yield from (f"delivery on route {expected.route}: {one}" for one in found[0])
    for left in rest:
        yield f"unexpected delivery on route {left.route}: {left.text[:200]}"
