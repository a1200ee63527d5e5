"""The normalised services that there are. One more is one more line."""

from __future__ import annotations

from typing import Final

from gateway.projections.services.documents import HOLDS, MAINTENANCE_ORDERS, SALES_ORDERS, SHIPMENTS
from gateway.projections.services.floor import EQUIPMENT, LATEST
from gateway.projections.services.procurement import ASNS, PURCHASE_ORDERS, RECEIPTS
from gateway.projections.services.production import PRODUCTION_ORDERS
from gateway.projections.services.service import Service
from gateway.projections.services.stock import BALANCES, TRANSFERS

__all__ = ["SERVICES", "VERSION"]

VERSION: Final = 1
"""Grows with every change of what a service makes of its events: the file is then made anew from what it
keeps of them and from the journal."""

SERVICES: Final[tuple[Service, ...]] = (
    EQUIPMENT,
    LATEST,
    PRODUCTION_ORDERS,
    BALANCES,
    TRANSFERS,
    HOLDS,
    PURCHASE_ORDERS,
    ASNS,
    RECEIPTS,
    SHIPMENTS,
    MAINTENANCE_ORDERS,
    SALES_ORDERS,
)
