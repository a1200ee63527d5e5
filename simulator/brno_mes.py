"""The MES of Brno: drops CSV files for orders and stock, as its reports always were, to be fetched by SFTP.

Semicolons, decimal commas, Windows-1250 and Czech headings; times have no offset, and the machine's clock
has stayed on winter time since it was set up.

- ``orders/zakazky_*.csv``: ``Zakázka;Materiál;Množství;MJ;Pracoviště;Začátek;Konec;Uvolněno``
- ``stock/stav_*.csv``: ``Inventura;Materiál;Sklad;Množství;MJ;Stav k``
"""

from __future__ import annotations

import asyncio
import csv
import io
import random
from collections.abc import Sequence
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Final

from simulator.handover import Handover
from simulator.ledger import Document, Fact, Ledger
from simulator.moments import Moments, rfc3339
from simulator.shift import Shift
from simulator.stock import stock_document
from simulator.story import BRNO_ITEMS, Rhythm

__all__ = ["ORDERS", "STOCK", "BrnoMes"]

ORDERS: Final = "brno-mes-orders"
STOCK: Final = "brno-mes-stock"
ENCODING: Final = "cp1250"
_ZONE: Final = timezone(timedelta(hours=1))
_FIRST_ORDER: Final = 7000001
_ORDER_HEADER: Final = (
    "Zakázka",
    "Materiál",
    "Množství",
    "MJ",
    "Pracoviště",
    "Začátek",
    "Konec",
    "Uvolněno",
)
_STOCK_HEADER: Final = ("Inventura", "Materiál", "Sklad", "Množství", "MJ", "Stav k")


class BrnoMes:
    """Writes both kinds of files below ``folder`` while the shift runs."""

    def __init__(self, folder: Path, ledger: Ledger, moments: Moments, rhythm: Rhythm) -> None:
        self._moments, self._rhythm = moments, rhythm
        self._chance = random.Random(21)
        self._order = self._counted = moments.first
        self._orders = Handover(folder / "orders", ledger)
        self._stock = Handover(folder / "stock", ledger)

    async def work(self, shift: Shift) -> None:
        """Drops files until the shift ends, then waits until they are fetched, within a bound."""
        if not await shift.started():
            return
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._orders.watch(shift))
            tasks.create_task(self._stock.watch(shift))
            tasks.create_task(self._release(shift))
            tasks.create_task(self._count(shift))

    async def _release(self, shift: Shift) -> None:
        while await shift.pause(self._rhythm.file):
            rows, facts = [], []
            for _ in range(2):
                row, fact = self._next_order()
                rows.append(row)
                facts.append(fact)
            name = f"zakazky_{facts[0].key}.csv"
            self._orders.put(name, _table(_ORDER_HEADER, rows), *facts)

    def _next_order(self) -> tuple[Sequence[str], Fact]:
        at = self._moments.next()
        number = f"BR-{_FIRST_ORDER + self._order}"
        item = BRNO_ITEMS[self._order % len(BRNO_ITEMS)]
        self._order += 1
        start = at + timedelta(minutes=45)
        row = (
            number,
            item,
            f"{self._chance.randint(5, 60)},000",
            "KS",
            "MONTAZ-1" if self._order % 2 else "LAK-1",
            _local(start),
            _local(start + timedelta(hours=6)),
            _local(at),
        )
        document = Document(system="wms", kind="pick-lists", reference=number)
        return row, _fact(
            ORDERS, "production.order.released", number, at, f"order {number}, a row of a file", document
        )

    async def _count(self, shift: Shift) -> None:
        while await shift.pause(self._rhythm.stock):
            rows, facts = [], []
            for item in BRNO_ITEMS:
                at = self._moments.next()
                self._counted += 1
                count = f"BR-CNT-{self._counted:06d}"
                rows.append((count, item, "HALA-2", f"{self._chance.randint(10, 300)},0", "KS", _local(at)))
                detail = f"stock of {item}, a row of a file"
                facts.append(
                    _fact(
                        STOCK,
                        "inventory.balance.reported",
                        f"{item}/{rfc3339(at)}",
                        at,
                        detail,
                        stock_document(count),
                    )
                )
            stamp = facts[0].at.astimezone(_ZONE).strftime("%Y%m%d_%H%M%S_%f")[:-3]
            self._stock.put(f"stav_{stamp}.csv", _table(_STOCK_HEADER, rows), *facts)


def _local(moment: datetime) -> str:
    """As the MES prints a time: that of its own clock on the wall, to the millisecond."""
    return moment.astimezone(_ZONE).strftime("%d.%m.%Y %H:%M:%S.%f")[:-3]


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> bytes:
    text = io.StringIO()
    writer = csv.writer(text, delimiter=";")
    writer.writerow(header)
    writer.writerows(rows)
    return text.getvalue().encode(ENCODING)


def _fact(adapter: str, kind: str, key: str, at: datetime, detail: str, document: Document) -> Fact:
    return Fact(
        adapter=adapter,
        protocol="sftp",
        format="csv",
        type=kind,
        key=key,
        at=at,
        detail=detail,
        documents=(document,),
    )
