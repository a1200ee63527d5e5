"""What partners and we write to each other, whatever the standard: shipments, stock, orders, answers."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal, Protocol

__all__ = ["Answer", "Balance", "Dialect", "Order", "Outcome", "Shipment", "Unreadable", "sscc"]

Outcome = Literal["accepted", "rejected", "duplicate"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Shipment:
    """What a despatch advice says: one line on one pallet."""

    asn: str
    purchase_order: str
    ship_to: str
    code: str
    quantity: str
    unit: str
    shipped_at: datetime
    eta: datetime
    sscc: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Balance:
    """Stock of one article at the supplier's."""

    code: str
    quantity: str
    unit: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """A purchase order as it came in: its interchange and message, its number, and its first line."""

    reference: str
    message: str
    purchase_order: str
    code: str
    quantity: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What became of an interchange of ours."""

    reference: str
    outcome: Outcome


class Unreadable(Exception):
    """A file that is none of the documents which a partner expects; the message says why."""


class Dialect(Protocol):
    """A standard as a partner writes and reads it; ``reference`` is a control number, from 1."""

    kind: str
    suffix: str

    def name(self, reference: int) -> str:
        """The control number as it stands in interchanges."""
        ...

    def despatch_advice(self, reference: int, at: datetime, shipment: Shipment) -> bytes:
        """A DESADV, or an 856."""
        ...

    def stock_report(self, reference: int, at: datetime, balances: list[Balance]) -> bytes:
        """An INVRPT, or an 846; it holds as of ``at``, to the second."""
        ...

    def acknowledgement(self, reference: int, at: datetime, order: Order) -> bytes:
        """A CONTRL, or a 997, that accepts an order."""
        ...

    def read(self, content: bytes) -> Order | Answer:
        """An interchange of the hub's. Raises Unreadable."""
        ...


def sscc(number: int) -> str:
    """The SSCC of a logistic unit, with its check digit (GS1, mod 10)."""
    digits = f"34012345{number:09d}"
    total = sum(int(digit) * (3, 1)[place % 2] for place, digit in enumerate(digits))
    return f"{digits}{-total % 10}"
