"""The floor of Coventry: moulding cells, and terminals where orders and stock are booked, all over MQTT.

Topics are ``acme/coventry/{area}/{line}/{tag}``. Payloads, with times in milliseconds since 1970:

- ``temperature``, ``cycle-time``: ``{"v": 231.4, "u": "CEL", "t": …}``
- ``downtime``: ``{"no": "CVD-00001", "event": "start" | "end", "since": …, "t": …, "why": "…"}``
- ``order`` (of ``dispatch/terminal-1``): ``{"no", "part", "qty", "cell", "start", "end", "t"}``
- ``stock`` (of ``stores/terminal-2``): ``{"count", "part", "store", "qty", "t"}``
"""

from __future__ import annotations

import asyncio
import random
from datetime import datetime, timedelta
from typing import Any, Final

from simulator.broker import MqttBroker
from simulator.ledger import Document, Ledger
from simulator.moments import Moments, rfc3339
from simulator.publisher import Publisher
from simulator.shift import Shift
from simulator.stock import stock_document
from simulator.story import COVENTRY_ITEMS, Rhythm, wander

__all__ = ["ADAPTER", "ROOT", "CoventryFloor", "order_number"]

ADAPTER: Final = "coventry-floor"
ROOT: Final = "acme/coventry"
CELLS: Final = ("moulding/cell-1", "moulding/cell-2")
_TAGS: Final = {
    # tag: (UN/ECE Rec 20 unit, start, low, high, step)
    "temperature": ("CEL", 231.0, 200.0, 260.0, 1.2),
    "cycle-time": ("SEC", 21.0, 15.0, 40.0, 0.4),
}
_REASONS: Final = ("E-HYDRAULIC", "E-TOOL", "E-MATERIAL")


class CoventryFloor:
    """Publishes while the shift runs, once somebody has subscribed."""

    def __init__(
        self,
        broker: MqttBroker,
        ledger: Ledger,
        moments: Moments,
        rhythm: Rhythm,
        *,
        account: tuple[str, str],
    ) -> None:
        self._moments, self._rhythm = moments, rhythm
        self._chance = random.Random(40)
        self._order = self._stop = self._counted = moments.first
        self.line = Publisher(broker, ledger, adapter=ADAPTER, root=ROOT, account=account)

    async def open(self) -> None:
        """Connects to the broker. Raises TimeoutError when it does not answer."""
        await self.line.open()

    async def close(self) -> None:
        """Disconnects."""
        await self.line.close()

    async def work(self, shift: Shift) -> None:
        """Publishes until the shift ends, then waits a little for what the broker has not acknowledged."""
        if not await shift.started():
            return
        while not self.line.heard(f"{CELLS[0]}/temperature"):
            if not await shift.pause(0.1):
                return
        async with asyncio.TaskGroup() as tasks:
            for cell in CELLS:
                tasks.create_task(self._measure(shift, cell))
            tasks.create_task(self._stop_and_go(shift))
            tasks.create_task(self._release(shift))
            tasks.create_task(self._count(shift))
        await self.line.settled()

    async def _measure(self, shift: Shift, cell: str) -> None:
        values = {tag: shape[1] for tag, shape in _TAGS.items()}
        while await shift.pause(2 * self._rhythm.measurement):
            for tag, (unit, _, low, high, step) in _TAGS.items():
                values[tag] = wander(values[tag], low=low, high=high, step=step, chance=self._chance)
                at = self._moments.next()
                payload = {"v": values[tag], "u": unit, "t": _ms(at)}
                self.line.say(f"{cell}/{tag}", payload, "telemetry.measurement.recorded", at)

    async def _stop_and_go(self, shift: Shift) -> None:
        while await shift.pause(self._rhythm.downtime):
            self._stop += 1
            cell, number = CELLS[self._stop % len(CELLS)], f"CVD-{self._stop:05d}"
            began = self._moments.next()
            payload: dict[str, Any] = {
                "no": number,
                "event": "start",
                "since": _ms(began),
                "t": _ms(began),
                "why": self._chance.choice(_REASONS),
            }
            document = Document(system="cmms", kind="work-requests", reference=number)
            self.line.say(
                f"{cell}/downtime",
                payload,
                "equipment.downtime.started",
                began,
                key=number,
                documents=(document,),
            )
            if not await shift.pause(self._rhythm.downtime / 2):
                return
            ended = self._moments.next()
            payload = {**payload, "event": "end", "t": _ms(ended)}
            self.line.say(f"{cell}/downtime", payload, "equipment.downtime.ended", ended, key=number)

    async def _release(self, shift: Shift) -> None:
        while await shift.pause(2 * self._rhythm.order):
            at = self._moments.next()
            number = order_number(self._order + 1)
            payload = {
                "no": number,
                "part": COVENTRY_ITEMS[self._order % len(COVENTRY_ITEMS)],
                "qty": self._chance.randint(1, 20) * 100,
                "cell": f"CELL-{self._order % 2 + 1}",
                "start": _ms(at + timedelta(hours=1)),
                "end": _ms(at + timedelta(hours=9)),
                "t": _ms(at),
            }
            self._order += 1
            document = Document(system="wms", kind="pick-lists", reference=number)
            self.line.say(
                "dispatch/terminal-1/order",
                payload,
                "production.order.released",
                at,
                key=number,
                documents=(document,),
            )

    async def _count(self, shift: Shift) -> None:
        while await shift.pause(self._rhythm.stock):
            for part in COVENTRY_ITEMS:
                at = self._moments.next()
                self._counted += 1
                count = f"CV-CNT-{self._counted:06d}"
                payload = {
                    "count": count,
                    "part": part,
                    "store": "STORES-C",
                    "qty": self._chance.randint(0, 5000),
                    "t": _ms(at),
                }
                self.line.say(
                    "stores/terminal-2/stock",
                    payload,
                    "inventory.balance.reported",
                    at,
                    key=f"{part}/{rfc3339(at)}",
                    documents=(stock_document(count),),
                )


def order_number(index: int) -> str:
    """The number of an order, counted from 1: released over MQTT, confirmed by the MES."""
    return f"CV-{50_000 + index}"


def _ms(moment: datetime) -> int:
    return round(moment.timestamp() * 1000)
