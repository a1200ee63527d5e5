"""The floor of Brno: lines and a warehouse that publish JSON over MQTT, QoS 1.

Topics are ``acme/brno/{area}/{line}/{tag}``, after the equipment's path. Payloads:

- ``temperature``, ``vibration``, ``power``: ``{"value": 71.3, "unit": "CEL", "ts": …}``
- ``state``: ``{"state": "RUN" | "STOP", "previous": …, "ts": …}``
- ``count``: ``{"from": …, "to": …, "good": 12, "reject": 1}``
- ``move`` (of the warehouse): ``{"item", "qty", "unit", "from_bin", "to_bin", "lot", "ts"}``

Times are RFC 3339. Now and then a message is cut off in the middle, as by a gateway that ran full.
"""

from __future__ import annotations

import asyncio
import random
from typing import Final

from simulator.broker import MqttBroker
from simulator.ledger import Document, Ledger
from simulator.moments import Moments, rfc3339
from simulator.publisher import Publisher
from simulator.shift import Shift
from simulator.story import BRNO_ITEMS, Rhythm, wander

__all__ = ["ADAPTER", "ROOT", "BrnoFloor"]

ADAPTER: Final = "brno-floor"
ROOT: Final = "acme/brno"
LINES: Final = ("assembly/line-1", "assembly/line-2", "paint/booth-1")
WAREHOUSE: Final = "warehouse/bulk"
_TAGS: Final = {
    # tag: (UN/ECE Rec 20 unit, start, low, high, step)
    "temperature": ("CEL", 62.0, 40.0, 95.0, 0.8),
    "vibration": ("C16", 2.1, 0.4, 9.0, 0.1),
    "power": ("KWT", 14.0, 2.0, 30.0, 0.5),
}


class BrnoFloor:
    """Publishes while the shift runs; every PUBACK of the broker makes a fact safe.

    It waits until somebody subscribes: MQTT keeps nothing for those who never came.
    """

    def __init__(
        self,
        broker: MqttBroker,
        ledger: Ledger,
        moments: Moments,
        rhythm: Rhythm,
        *,
        account: tuple[str, str],
    ) -> None:
        self._ledger, self._moments, self._rhythm = ledger, moments, rhythm
        self._chance = random.Random(20)
        self._lot = moments.first
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
        while not self.line.heard(f"{LINES[0]}/state"):
            if not await shift.pause(0.1):
                return
        async with asyncio.TaskGroup() as tasks:
            for line in LINES:
                tasks.create_task(self._measure(shift, line))
                tasks.create_task(self._run_and_stop(shift, line))
                tasks.create_task(self._count(shift, line))
            tasks.create_task(self._move(shift))
            tasks.create_task(self._garble(shift))
        await self.line.settled()

    # ── what a line says ────────────────────────────────────────────────────────────────────────

    async def _measure(self, shift: Shift, line: str) -> None:
        values = {tag: shape[1] for tag, shape in _TAGS.items()}
        while await shift.pause(self._rhythm.measurement):
            for tag, (unit, _, low, high, step) in _TAGS.items():
                values[tag] = wander(values[tag], low=low, high=high, step=step, chance=self._chance)
                at = self._moments.next()
                payload = {"value": values[tag], "unit": unit, "ts": rfc3339(at)}
                self.line.say(f"{line}/{tag}", payload, "telemetry.measurement.recorded", at)

    async def _run_and_stop(self, shift: Shift, line: str) -> None:
        state, previous = "RUN", "STOP"
        while await shift.pause(self._rhythm.state * self._chance.uniform(0.5, 1.5)):
            at = self._moments.next()
            payload = {"state": state, "previous": previous, "ts": rfc3339(at)}
            self.line.say(f"{line}/state", payload, "equipment.state.changed", at)
            state, previous = previous, state

    async def _count(self, shift: Shift, line: str) -> None:
        begin = self._moments.next()
        while await shift.pause(self._rhythm.count):
            end = self._moments.next()
            good, reject = self._chance.randint(3, 9), self._chance.choice((0, 0, 0, 1))
            payload = {"from": rfc3339(begin), "to": rfc3339(end), "good": good, "reject": reject}
            self.line.say(f"{line}/count", payload, "equipment.count.reported", end)
            begin = end

    async def _move(self, shift: Shift) -> None:
        while await shift.pause(self._rhythm.move):
            self._lot += 1
            at = self._moments.next()
            payload = {
                "item": BRNO_ITEMS[self._lot % len(BRNO_ITEMS)],
                "qty": str(self._chance.randint(1, 40)),
                "unit": "H87",
                "from_bin": f"R{self._chance.randint(1, 9)}",
                "to_bin": f"L{self._chance.randint(1, 3)}",
                "lot": f"BRN-{self._lot:06d}",
                "ts": rfc3339(at),
            }
            document = Document(system="erp", kind="goods-movements", reference=str(payload["lot"]))
            self.line.say(f"{WAREHOUSE}/move", payload, "inventory.moved", at, documents=(document,))

    async def _garble(self, shift: Shift) -> None:
        while await shift.pause(self._rhythm.malformed):
            self._ledger.on_purpose["malformed"] += 1
            cut_off = f'{{"value": 71.3, "unit": "CEL", "ts": "{rfc3339(self._moments.next())[:10]}'
            self.line.publish(f"{LINES[0]}/temperature", cut_off.encode())
