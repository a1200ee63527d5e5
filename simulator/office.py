"""What the systems above the plants say: purchase and sales orders by the clock, the rest as an answer.

| system | says | because |
|---|---|---|
| ERP | purchase orders | by the clock, each supplier in turn |
| portal | that an order is confirmed | it got the order |
| QMS | holds, and their release | an inspection failed |
| CMMS | work orders, released and completed | a line stands still |
| TMS | milestones; that goods come late | an advice came in; a sales order is due |
| CRM | sales orders | by the clock |
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any, Final

from simulator.business import BusinessSystem, Received
from simulator.feed import Feed
from simulator.ledger import Document, Fact, Ledger
from simulator.moments import Moments, rfc3339
from simulator.shift import Shift
from simulator.story import SUPPLIERS, Rhythm

__all__ = ["FEEDS", "Office"]

FEEDS: Final[Mapping[str, str]] = {
    # system: its feed; the hub's adapter is called {system}-{feed}
    "erp": "purchase-orders",
    "portal": "responses",
    "qms": "holds",
    "cmms": "work-orders",
    "tms": "milestones",
    "crm": "sales-orders",
}
_FIRST_ORDER: Final = 45000001
_LATE: Final = timedelta(days=3)
_TICK_S: Final = 0.2

Step = Callable[[], None]


class Office:
    """Listens to the documents that systems get, and lets them say their part while the shift runs."""

    def __init__(self, ledger: Ledger, moments: Moments, rhythm: Rhythm) -> None:
        self.feeds = {system: Feed(ledger, first=moments.first) for system in FEEDS}
        self._moments, self._rhythm = moments, rhythm
        self._chance = random.Random(50)
        self._due: list[tuple[float, Step]] = []

    def listen(self, systems: Mapping[str, BusinessSystem]) -> None:
        """From now on these systems react to what they get."""
        for name, reaction in (
            ("portal", self._confirm),
            ("qms", self._judge),
            ("cmms", self._repair),
            ("tms", self._track),
        ):
            systems[name].on_document = reaction

    async def work(self, shift: Shift) -> None:
        """Until the shift ends."""
        if not await shift.started():
            return
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._buy(shift))
            tasks.create_task(self._sell(shift))
            tasks.create_task(self._react(shift))

    async def _react(self, shift: Shift) -> None:
        loop = asyncio.get_running_loop()
        while await shift.pause(_TICK_S):
            due = [step for at, step in self._due if at <= loop.time()]
            self._due = [one for one in self._due if one[0] > loop.time()]
            for step in due:
                step()

    def _later(self, step: Step, reactions: float = 1.0) -> None:
        at = asyncio.get_running_loop().time() + reactions * self._rhythm.reaction
        self._due.append((at, step))

    def _say(
        self, system: str, record: dict[str, Any], kind: str, key: str, at: datetime, *documents: Document
    ) -> None:
        feed = FEEDS[system]
        fact = Fact(
            adapter=f"{system}-{feed}",
            protocol="rest",
            format="json",
            type=kind,
            key=key,
            at=at,
            detail=f"{kind} {key}, polled from {system}",
            documents=documents,
        )
        self.feeds[system].offer({**record, "at": rfc3339(at)}, fact)

    # ── by the clock ────────────────────────────────────────────────────────────────────────────

    async def _buy(self, shift: Shift) -> None:
        while await shift.pause(self._rhythm.purchase):
            index = len(self.feeds["erp"])
            supplier = SUPPLIERS[index % len(SUPPLIERS)]
            material = supplier.materials[index // len(SUPPLIERS) % len(supplier.materials)]
            at, number = self._moments.next(), str(_FIRST_ORDER + index)
            order = {
                "number": number,
                "vendor": supplier.erp,
                "ship_to": supplier.ship_to[0],
                "material": material.erp,
                "vendor_material": material.code,
                "quantity": str(self._chance.randint(1, 40) * 50),
                "unit": material.unit,
                "price": f"{self._chance.randint(80, 990) / 100:.2f}",
                "wanted": (at + timedelta(days=3)).date().isoformat(),
            }
            kind = "purchase-orders" if supplier.name == "portal" else "orders"
            document = Document(system=supplier.name, kind=kind, reference=number)
            self._say("erp", order, "procurement.order.issued", number, at, document)

    async def _sell(self, shift: Shift) -> None:
        while await shift.pause(self._rhythm.sales):
            at, number = self._moments.next(), f"SO-{60000 + len(self.feeds['crm'])}"
            order = {
                "number": number,
                "customer": self._chance.choice(("C-500", "C-510")),
                "item": self._chance.choice(("HYD-PUMP-20", "HYD-PUMP-25", "VALVE-BLOCK-4")),
                "quantity": str(self._chance.randint(1, 30)),
                "wanted": (at + timedelta(days=7)).date().isoformat(),
            }
            document = Document(system="planning", kind="demand", reference=number)
            self._say("crm", order, "sales.order.changed", number, at, document)
            self._later(lambda number=number: self._milestone(f"OUT-{number}", "departed"))  # type: ignore[misc]

    # ── as an answer ────────────────────────────────────────────────────────────────────────────

    def _milestone(self, shipment: str, milestone: str) -> None:
        at = self._moments.next()
        record = {"kind": "milestone", "shipment": shipment, "milestone": milestone, "carrier": "CARRIER-7"}
        reference = f"{shipment}/{milestone}"
        document = Document(system="crm", kind="notices", reference=reference)
        self._say("tms", record, "logistics.shipment.milestone", reference, at, document)

    def _track(self, received: Received) -> None:
        """TMS: goods are on their way; those that come late are told."""
        asn, eta = str(received.body["reference"]), datetime.fromisoformat(str(received.body["eta"]))
        shipped = datetime.fromisoformat(str(received.body["shipped_at"]))
        self._later(lambda: self._milestone(f"IN-{asn}", "in-transit"))
        if eta - shipped > _LATE:
            self._later(lambda: self._delay(asn, shipped, eta))

    def _delay(self, asn: str, shipped: datetime, eta: datetime) -> None:
        promised = shipped + timedelta(days=1)
        at = self._moments.next()
        record = {
            "kind": "delay",
            "asn": asn,
            "promised": rfc3339(promised),
            "eta": rfc3339(eta),
            "delay_s": int((eta - promised).total_seconds()),
        }
        document = Document(system="planning", kind="delays", reference=asn)
        self._say("tms", record, "procurement.asn.delayed", asn, at, document)

    def _confirm(self, received: Received) -> None:
        """Portal: the supplier confirms what was ordered."""
        number, quantity = str(received.body["reference"]), received.body["quantity"]
        self._later(lambda: self._confirmed(number, quantity))

    def _confirmed(self, number: str, quantity: object) -> None:
        at = self._moments.next()
        record = {
            "order": number,
            "quantity": quantity,
            "date": (at + timedelta(days=4)).date().isoformat(),
        }
        document = Document(system="erp", kind="order-responses", reference=number)
        self._say("portal", record, "procurement.order.responded", number, at, document)

    def _judge(self, received: Received) -> None:
        """QMS: the lot of a failed inspection is held, and released again after a while."""
        if received.body["result"] == "failed":
            body = dict(received.body)
            self._later(lambda: self._hold(body))

    def _hold(self, inspection: Mapping[str, Any]) -> None:
        at, number = self._moments.next(), f"QH-{inspection['reference']}"
        record = {
            "kind": "placed",
            "hold": number,
            "item": inspection["item"],
            "lot": inspection["lot"],
            "quantity": "250",
            "reason": "OUT-OF-SPEC",
        }
        documents = (
            Document(system="wms", kind="blocks", reference=number),
            Document(system="erp", kind="blocks", reference=number),
        )
        self._say("qms", record, "quality.hold.placed", number, at, *documents)
        self._later(lambda: self._release(number), 3)

    def _release(self, hold: str) -> None:
        at = self._moments.next()
        record = {"kind": "released", "hold": hold, "approval": f"QA-{hold}"}
        documents = (
            Document(system="wms", kind="releases", reference=hold),
            Document(system="erp", kind="releases", reference=hold),
        )
        self._say("qms", record, "quality.hold.released", hold, at, *documents)

    def _repair(self, received: Received) -> None:
        """CMMS: a stoppage gets a work order, which is completed later."""
        body = dict(received.body)
        self._later(lambda: self._work_order(body, "released"))
        self._later(lambda: self._work_order(body, "completed"), 3)

    def _work_order(self, request: Mapping[str, Any], status: str) -> None:
        at, number = self._moments.next(), f"WO-{request['reference']}"
        record = {
            "number": number,
            "asset": request["equipment"],
            "status": status,
            "stoppage": request["reference"],
        }
        document = Document(system="planning", kind="maintenance", reference=f"{number}/{status}")
        self._say("cmms", record, "maintenance.order.changed", f"{number}/{status}", at, document)
