"""What is parked for an unknown code, in all lanes, however they came to be there."""

from __future__ import annotations

from datetime import UTC, datetime

from msgspec import Struct

from canonical.event import Event, decode
from canonical.ports import Transaction

__all__ = ["Parked", "codes", "waiting"]


class Parked(Struct, frozen=True, kw_only=True):
    """The head of a lane that waits for a code."""

    route: str
    key: str
    position: int
    plant: str
    event: Event
    error: str = ""

    @property
    def at(self) -> datetime:
        """The moment as of which its codes are translated."""
        return self.event.time or self.event.recordedtime or datetime.now(UTC)


def codes(transaction: Transaction) -> list[tuple[str, str, str]]:
    """(domain, system, code) of all that something waits for."""
    rows = transaction.execute(
        "SELECT DISTINCT code_domain, code_system, code_value FROM lanes WHERE state = 'parked'"
    )
    return [(domain, system, value) for domain, system, value in rows]


def waiting(transaction: Transaction, domain: str, system: str, code: str, limit: int) -> list[Parked]:
    """The heads that wait for a code, oldest first."""
    rows = transaction.execute(
        "SELECT route, key, position, plant, event, error FROM lanes WHERE state = 'parked' "
        "AND code_domain = ? AND code_system = ? AND code_value = ? ORDER BY position LIMIT ?",
        (domain, system, code, limit),
    )
    return [
        Parked(route=route, key=key, position=position, plant=plant, event=decode(event), error=error)
        for route, key, position, plant, event, error in rows
    ]
