"""The simulator's own account: what was sent, what was told to be safe, what the hub can show.

A fact is recognised in the hub's events by its natural key (``NATURAL_KEYS``): values that stand in
the event's own data, so that nothing depends on ids which the hub makes up. ``Moments`` sees to it
that no two facts share one.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from simulator.moments import instant

__all__ = ["NATURAL_KEYS", "Document", "Fact", "Identity", "Ledger", "identity"]

NATURAL_KEYS: Mapping[str, tuple[str, ...]] = {
    "telemetry.measurement.recorded": ("source_time",),
    "equipment.state.changed": ("entered_at",),
    "equipment.count.reported": ("window_end",),
    "equipment.downtime.started": ("downtime",),
    "equipment.downtime.ended": ("downtime",),
    "production.order.released": ("order",),
    "production.operation.completed": ("order", "operation"),
    "inventory.moved": ("at",),
    "inventory.balance.reported": ("item", "as_of"),
    "quality.inspection.completed": ("inspection",),
    "quality.hold.placed": ("hold",),
    "quality.hold.released": ("hold",),
    "maintenance.order.changed": ("maintenance_order", "status"),
    "procurement.order.issued": ("purchase_order",),
    "procurement.order.responded": ("purchase_order",),
    "procurement.asn.received": ("asn",),
    "procurement.asn.delayed": ("asn",),
    "sales.order.changed": ("sales_order",),
    "logistics.shipment.milestone": ("shipment", "milestone"),
    "integration.interchange.received": ("reference", "outcome"),
}
"""Which fields of an event's data tell its fact from all others of the same adapter and type."""

Identity = tuple[str, str, str]
"""(adapter, type without prefix and version, natural key)"""

_TIMES = frozenset({"source_time", "entered_at", "window_end", "at", "as_of"})
_REMEMBERED = 20_000
_LISTED = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """What a system or partner should have in the end: who, which kind, and its reference.

    With ``required`` no dead letter stands in for it: an answer to an interchange is owed in any case.
    """

    system: str
    kind: str
    reference: str
    required: bool = False

    def plain(self) -> dict[str, str]:
        """The document for the report."""
        return {"system": self.system, "kind": self.kind, "reference": self.reference}


@dataclass(frozen=True, slots=True, kw_only=True)
class Fact:
    """One thing that happened in the company and that the hub has to have in the end.

    ``at`` is when it happened. ``protocol`` and ``format`` are the kinds of the hub's adapter and format;
    ``documents`` are what the hub should make of it elsewhere; ``detail`` is for people.
    """

    adapter: str
    protocol: str
    format: str
    type: str
    key: str
    at: datetime
    detail: str = ""
    documents: tuple[Document, ...] = ()

    @property
    def identity(self) -> Identity:
        """What the fact is recognised by."""
        return (self.adapter, self.type, self.key)

    def plain(self) -> dict[str, str]:
        """The fact for the report."""
        return {
            "adapter": self.adapter,
            "protocol": self.protocol,
            "type": self.type,
            "key": self.key,
            "detail": self.detail,
        }


def identity(event: Mapping[str, Any]) -> Identity | None:
    """The identity of the fact that a CloudEvent of the hub tells; None when it tells none of ours."""
    adapter = str(event.get("source", "")).rpartition("/adapters/")[2]
    kind = str(event.get("type", "")).removeprefix("com.crossplant.").rpartition(".")[0]
    fields = NATURAL_KEYS.get(kind)
    data = event.get("data")
    if not adapter or fields is None or not isinstance(data, Mapping):
        return None
    try:
        return (adapter, kind, "/".join(_normal(name, data[name]) for name in fields))
    except (KeyError, ValueError):
        return (adapter, kind, f"unreadable: {event.get('id')}")


def _normal(name: str, value: object) -> str:
    return instant(str(value)) if name in _TIMES else str(value)


class Ledger:
    """Counts of facts, and the facts that the hub has not shown yet. Memory follows the latter."""

    def __init__(self) -> None:
        self.sent: Counter[tuple[str, str, str]] = Counter()
        self.on_purpose: Counter[str] = Counter()
        self.safe_total = 0
        self.shown_total = 0
        self.excused_total = 0
        self.duplicated = 0
        self.unexpected = 0
        self._waiting: OrderedDict[Identity, Fact] = OrderedDict()
        self._safe: set[Identity] = set()
        self._settled: OrderedDict[Identity, None] = OrderedDict()
        self._documents: OrderedDict[Document, Fact] = OrderedDict()

    def record_sent(self, fact: Fact) -> None:
        """The fact is on its way; whether it arrived is not known."""
        self.sent[(fact.adapter, fact.protocol, fact.format)] += 1
        self._waiting[fact.identity] = fact

    def record_safe(self, fact: Fact) -> None:
        """The protocol said that the fact is safe: from now on it is lost when the hub lacks it."""
        self.safe_total += 1
        for document in fact.documents:
            self._documents[document] = fact
        if fact.identity in self._settled:
            return
        self._waiting.setdefault(fact.identity, fact)
        self._safe.add(fact.identity)

    def record_shown(self, event: Mapping[str, Any]) -> None:
        """The hub shows this event; the caller sees to it that each event comes once."""
        found = identity(event)
        if found is None:
            return
        if found in self._waiting:
            self._settle(found)
            self.shown_total += 1
        elif found in self._settled:
            self.duplicated += 1
        else:
            self.unexpected += 1

    def record_excused(self, fact: Fact) -> None:
        """The hub shows this fact among its dead letters: it is not lost, somebody has to look at it."""
        if fact.identity in self._waiting:
            self._settle(fact.identity)
            self.excused_total += 1

    def _settle(self, found: Identity) -> None:
        del self._waiting[found]
        self._safe.discard(found)
        self._settled[found] = None
        while len(self._settled) > _REMEMBERED:
            self._settled.popitem(last=False)

    def forget_unconfirmed(self, before: datetime) -> None:
        """Drops facts from before this moment that no protocol called safe."""
        for found, fact in list(self._waiting.items()):
            if fact.at < before and found not in self._safe:
                del self._waiting[found]

    @property
    def lost(self) -> list[Fact]:
        """Facts that are safe by their protocol and that the hub has not shown, oldest first."""
        return [fact for found, fact in self._waiting.items() if found in self._safe]

    @property
    def undelivered(self) -> list[Document]:
        """Documents whose fact is safe and that nobody has accounted for, oldest first."""
        return list(self._documents)

    def record_documents(self, found: Iterable[Document]) -> None:
        """These documents are where they should be, or where the hub keeps what it could not deliver."""
        for document in found:
            self._documents.pop(document, None)

    def report(self) -> dict[str, Any]:
        """The account as JSON values."""
        lost, undelivered = self.lost, self.undelivered
        return {
            "sent": {
                "total": self.sent.total(),
                "by_adapter": self._sums(1),
                "by_format": self._sums(2),
                "by_name": self._sums(0),
            },
            "safe": self.safe_total,
            "shown": self.shown_total,
            "dead_lettered": self.excused_total,
            "lost": len(lost),
            "lost_facts": [fact.plain() for fact in lost[:_LISTED]],
            "undelivered": len(undelivered),
            "undelivered_documents": [document.plain() for document in undelivered[:_LISTED]],
            "duplicated": self.duplicated,
            "unexpected": self.unexpected,
            "on_purpose": dict(self.on_purpose),
        }

    def _sums(self, part: int) -> dict[str, int]:
        sums: Counter[str] = Counter()
        for names, count in self.sent.items():
            sums[names[part]] += count
        return dict(sums)
