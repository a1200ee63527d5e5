"""Settles the ledger against what the hub and the business systems have."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any, Final, Protocol

from simulator.hub import Hub, HubError
from simulator.ledger import Document, Ledger
from simulator.moments import Moments

__all__ = ["Audit", "Receiver"]

PATIENCE: Final = timedelta(minutes=5)
"""How long a fact that no protocol called safe may take until the hub shows it."""
_BETWEEN_S: Final = 0.5
_EXCUSE_EVERY: Final = 12


class Receiver(Protocol):
    """Who gets documents of the hub: a business system or a partner."""

    name: str

    def references(self) -> set[tuple[str, str]]:
        """Pairs of (kind, reference) of what it has."""
        ...

    def report(self) -> dict[str, int]:
        """Counts for the account; ``documents`` is how many it has."""
        ...


class Audit:
    """Reads the hub again and again; what it saw is struck out in the ledger."""

    def __init__(self, ledger: Ledger, moments: Moments, systems: Sequence[Receiver]) -> None:
        self._ledger, self._moments, self._systems = ledger, moments, systems
        self._since = moments.next()
        self._position = 0
        self._lock = asyncio.Lock()
        self._hub: Hub | None = None
        self.problem = "the hub is not known yet"

    @property
    def knows_hub(self) -> bool:
        """Whether it was told where the hub is."""
        return self._hub is not None

    async def hub_is(self, hub: Hub) -> None:
        """From now on this hub is read, from its beginning."""
        async with self._lock:
            if self._hub is not None:
                await self._hub.close()
            self._hub, self._position = hub, 0

    async def close(self) -> None:
        """Ends the connections to the hub."""
        if self._hub is not None:
            await self._hub.close()

    async def watch(self, every_s: float) -> None:
        """Reads now and then, so that memory stays small over a long run; for ever."""
        for turn in itertools.count(1):
            await asyncio.sleep(every_s)
            await self.read(excuse=turn % _EXCUSE_EVERY == 0)

    async def settle(self, wait_s: float) -> dict[str, Any]:
        """Reads until nothing is missing or the time is over; returns the report."""
        deadline = time.monotonic() + wait_s
        await self.read()
        while self._open() and time.monotonic() < deadline:
            await asyncio.sleep(_BETWEEN_S)
            await self.read()
        return self.report()

    def _open(self) -> bool:
        return bool(self.problem or self._ledger.lost or self._ledger.undelivered)

    def report(self) -> dict[str, Any]:
        """The ledger and what the systems have, as JSON values."""
        reports = {system.name: system.report() for system in self._systems}
        return {
            **self._ledger.report(),
            "delivered_by_system": {name: report["documents"] for name, report in reports.items()},
            "systems": reports,
            "settled": not self.problem,
            "problem": self.problem,
        }

    async def read(self, *, excuse: bool = True) -> None:
        """Compares once, from where the last reading ended. ``problem`` says when the hub did not answer.

        With ``excuse`` the hub's dead letters and lanes are read too, all of them.
        """
        async with self._lock:
            if self._hub is None:
                return
            try:
                async for page in self._hub.events(self._since, self._position):
                    self._take(page)
                self._strike_out_delivered()
                if excuse and (self._ledger.lost or self._ledger.undelivered):
                    await self._excuse(self._hub)
            except HubError as error:
                self.problem = str(error)
                return
            self.problem = ""
            self._ledger.forget_unconfirmed(self._moments.next() - PATIENCE)

    def _take(self, page: Sequence[Mapping[str, Any]]) -> None:
        for event in page:
            position = event.get("position")
            if not isinstance(position, int):
                raise HubError("/v1/events gave an event without its position")
            self._ledger.record_shown(event)
            self._position = max(self._position, position)

    def _strike_out_delivered(self) -> None:
        for system in self._systems:
            references = system.references()
            self._ledger.record_documents(
                document
                for document in self._ledger.undelivered
                if document.system == system.name and (document.kind, document.reference) in references
            )

    async def _excuse(self, hub: Hub) -> None:
        """Strikes out what the hub shows as dead letters or parked."""
        exceptions = await hub.exceptions()
        for fact in self._ledger.lost:
            if fact.key in exceptions:
                self._ledger.record_excused(fact)
        self._ledger.record_documents(
            document
            for document in self._ledger.undelivered
            if not document.required and _subject(document) in exceptions
        )


def _subject(document: Document) -> str:
    """What of a document's reference a dead letter surely shows: the order, the lot."""
    return document.reference.partition("/")[0]
