"""A supplier with EDI: takes our orders from its mailbox, ships, and reads what becomes of its interchanges.

Its mailbox is an SFTP account: it leaves files in ``out`` and finds ours in ``in``. Every order is answered.
Every interchange of its own, but for answers, must be answered too: as accepted, rejected or duplicate. One
that is rejected goes out once more, whole this time.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter, deque
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

from simulator.handover import Handover
from simulator.ledger import Document, Fact, Ledger
from simulator.moments import Moments, rfc3339
from simulator.shift import Shift
from simulator.story import Material, Rhythm, Supplier, Turn, stays_unanswered, turn
from simulator.trade import Answer, Balance, Dialect, Order, Outcome, Shipment, Unreadable, sscc

__all__ = ["Partner"]

_LOOK_S: Final = 0.25
_LATE: Final = timedelta(days=6)
_USUAL: Final = timedelta(days=1)
_KEPT_S: Final = 60.0
_CUT: Final = 0.7
"""How much of a truncated file arrives."""


class Partner:
    """One supplier. ``folder`` is its mailbox; the hub's adapter for it is called ``{name}-inbox``."""

    def __init__(
        self,
        supplier: Supplier,
        dialect: Dialect,
        folder: Path,
        ledger: Ledger,
        moments: Moments,
        rhythm: Rhythm,
    ) -> None:
        self.name = supplier.name
        self._supplier, self._dialect = supplier, dialect
        self._ledger, self._moments, self._rhythm = ledger, moments, rhythm
        self._chance = random.Random(supplier.erp)
        self._out, self._in = Handover(folder / "out", ledger), folder / "in"
        self._reference = self._shipped = moments.first
        self._read: set[str] = set()
        self._open: deque[Order] = deque()
        self._unanswered: deque[Order] = deque()
        self._orders: dict[str, Order] = {}
        self._answers: set[tuple[str, Outcome]] = set()
        self._sent: dict[str, Shipment] = {}
        self._resend: deque[str] = deque()
        self._counts: Counter[str] = Counter()

    # ── what it has ─────────────────────────────────────────────────────────────────────────────

    def references(self) -> set[tuple[str, str]]:
        """Orders by their number, answers by what they answer and how."""
        self._look()
        answers = {("answers", f"{reference}/{outcome}") for reference, outcome in self._answers}
        return {("orders", number) for number in self._orders} | answers

    def report(self) -> dict[str, int]:
        """Counts for the account."""
        return {
            "documents": len(self._orders),
            "answers": len(self._answers),
            "repeated": self._counts["repeated"],
            "unexpected": self._counts["unexpected"],
        }

    def _look(self) -> None:
        for file in sorted(self._in.glob(f"*{self._dialect.suffix}")):
            if file.name in self._read:
                self._tidy(file)
                continue
            self._read.add(file.name)
            try:
                found = self._dialect.read(file.read_bytes())
            except (Unreadable, UnicodeDecodeError):
                self._counts["unexpected"] += 1
            else:
                self._take(found)

    def _tidy(self, file: Path) -> None:
        """Removes what was read a while ago; until then a sender may look whether it is there."""
        if time.time() - file.stat().st_mtime > _KEPT_S:
            file.unlink()

    def _take(self, found: Order | Answer) -> None:
        if isinstance(found, Answer):
            self._counts["repeated"] += (found.reference, found.outcome) in self._answers
            self._answers.add((found.reference, found.outcome))
            if found.outcome == "rejected":
                self._resend.append(found.reference)
        elif found.purchase_order in self._orders:
            self._counts["repeated"] += 1
        else:
            self._orders[found.purchase_order] = found
            self._open.append(found)
            if stays_unanswered(self.name, len(self._orders) - 1):
                self._ledger.on_purpose["order_unanswered"] += 1
            else:
                self._unanswered.append(found)

    # ── what it does ────────────────────────────────────────────────────────────────────────────

    async def work(self, shift: Shift) -> None:
        """Trades until the shift ends, then waits until its files are fetched, within a bound."""
        if not await shift.started():
            return
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._out.watch(shift))
            tasks.create_task(self._read_mail(shift))
            tasks.create_task(self._ship(shift))
            tasks.create_task(self._report_stock(shift))

    async def _read_mail(self, shift: Shift) -> None:
        while await shift.pause(_LOOK_S):
            self._look()
            while self._unanswered:
                order, at = self._unanswered.popleft(), self._moments.next()
                reference = self._next()
                content = self._dialect.acknowledgement(reference, at, order)
                name = self._dialect.name(reference)
                self._out.put(self._file("ack", name), content, self._interchange(name, "accepted", at))
            while self._resend:
                self._send_again(self._resend.popleft())

    def _send_again(self, name: str) -> None:
        """The whole file, under the control number that was rejected."""
        shipment = self._sent.pop(name, None)
        if shipment is None:
            self._counts["unexpected"] += 1
            return
        self._put(name, "resent", shipment)

    async def _ship(self, shift: Shift) -> None:
        while await shift.pause(self._rhythm.shipment):
            if not self._open:
                continue
            goes = turn(self.name, self._shipped)
            shipment = self._shipment(self._open.popleft(), goes)
            name = self._dialect.name(self._next())
            if goes != "plain":
                self._ledger.on_purpose[f"asn_{goes}"] += 1
            if goes == "truncated":
                self._put_truncated(name, shipment)
                continue
            content = self._put(name, "asn", shipment)
            if goes == "twice":
                fact = self._interchange(name, "duplicate", shipment.shipped_at, answered=True)
                self._out.put(self._file("asn-again", name), content, fact)

    def _shipment(self, order: Order, goes: Turn) -> Shipment:
        self._shipped += 1
        at = self._moments.next()
        material = self._material(order.code)
        return Shipment(
            asn=f"{self._supplier.unknown[:2]}D-{10000 + self._shipped}",
            purchase_order=order.purchase_order,
            ship_to=self._supplier.ship_to[1],
            code=self._supplier.unknown if goes == "unknown" else material.code,
            quantity=order.quantity,
            unit=material.unit,
            shipped_at=at,
            eta=at + (_LATE if goes == "late" else _USUAL),
            sscc=sscc((self._shipped * 10 + int(self._supplier.erp[-1])) % 10**9),
        )

    def _material(self, code: str) -> Material:
        known = self._supplier.materials
        return next((one for one in known if one.code == code), known[0])

    async def _report_stock(self, shift: Shift) -> None:
        while await shift.pause(self._rhythm.report):
            at = self._moments.next().replace(microsecond=0)
            balances = [
                Balance(code=one.code, quantity=str(self._chance.randint(100, 9000)), unit=one.unit)
                for one in self._supplier.materials
            ]
            reference = self._next()
            name = self._dialect.name(reference)
            content = self._dialect.stock_report(reference, at, balances)
            stock = [
                self._fact(
                    "inventory.balance.reported", f"{one.code}/{rfc3339(at)}", at, f"stock of {one.code}"
                )
                for one in balances
            ]
            answered = self._interchange(name, "accepted", at, answered=True)
            self._out.put(self._file("stock", name), content, answered, *stock)

    # ── files and their facts ───────────────────────────────────────────────────────────────────

    def _next(self) -> int:
        self._reference += 1
        return self._reference

    def _file(self, what: str, name: str) -> str:
        return f"{what}_{name}{self._dialect.suffix}"

    def _content(self, name: str, shipment: Shipment) -> bytes:
        number = int("".join(filter(str.isdigit, name)))
        return self._dialect.despatch_advice(number, shipment.shipped_at, shipment)

    def _put(self, name: str, what: str, shipment: Shipment) -> bytes:
        content, at = self._content(name, shipment), shipment.shipped_at
        documents = tuple(
            Document(system=system, kind=kind, reference=shipment.asn)
            for system, kind in (("erp", "inbound-deliveries"), ("tms", "inbound-shipments"))
        )
        told = self._fact("procurement.asn.received", shipment.asn, at, f"despatch advice {shipment.asn}")
        answered = self._interchange(name, "accepted", at, answered=True)
        self._out.put(self._file(what, name), content, answered, replace(told, documents=documents))
        return content

    def _put_truncated(self, name: str, shipment: Shipment) -> None:
        """Only a part arrives: the interchange has to be rejected, and to be told so."""
        content = self._content(name, shipment)
        self._sent[name] = shipment
        fact = self._interchange(name, "rejected", shipment.shipped_at, answered=True)
        self._out.put(self._file("asn", name), content[: int(len(content) * _CUT)], fact)

    def _interchange(self, name: str, outcome: Outcome, at: datetime, *, answered: bool = False) -> Fact:
        """The fact that an interchange came in so; with ``answered`` the hub owes an answer that says it."""
        key = f"{name}/{outcome}"
        answer = Document(system=self.name, kind="answers", reference=key, required=True)
        fact = self._fact("integration.interchange.received", key, at, f"interchange {key}")
        return replace(fact, documents=(answer,)) if answered else fact

    def _fact(self, kind: str, key: str, at: datetime, detail: str) -> Fact:
        return Fact(
            adapter=f"{self.name}-inbox",
            protocol="sftp",
            format=self._dialect.kind,
            type=kind,
            key=key,
            at=at,
            detail=detail,
        )
