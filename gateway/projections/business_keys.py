"""The names under which people look for an event: order, lot, ASN, SSCC, serial number and their like."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from canonical.event import Event

__all__ = ["NAMES", "keys_of"]

NAMES: Final = frozenset(
    {
        "approval",
        "asn",
        "asset",
        "batch",
        "capa",
        "count_ref",
        "delivery",
        "downtime",
        "exception",
        "hold",
        "inspection",
        "instance",
        "invoice",
        "lot",
        "lots",
        "maintenance_order",
        "message",
        "nonconformance",
        "nonconformances",
        "order",
        "orders",
        "package",
        "parent",
        "purchase_order",
        "receipt",
        "reference",
        "sales_order",
        "schedule",
        "serial",
        "serials",
        "shipment",
        "sscc",
        "transfer",
    }
)
"""Fields of the catalogue's data, at any depth, that hold such a name or a list of them."""

_LONGEST = 200
_MOST = 500
_DEPTH = 16


def keys_of(event: Event) -> set[str]:
    """The event's business keys: subject, correlation id, and what its data name; 500 at most."""
    found: set[str] = set()
    data = event.data
    if isinstance(data, dict):
        for key in _within(data, 0):
            if len(found) >= _MOST:
                break
            if 0 < len(key) <= _LONGEST:
                found.add(key)
    found.update(key for key in (event.subject, event.correlationid) if key)
    return found


def _within(data: dict[str, Any], depth: int) -> Iterator[str]:
    for name, value in data.items():
        if name in NAMES:
            yield from _texts(value)
        if value.__class__ is dict:
            if depth < _DEPTH:
                yield from _within(value, depth + 1)
        elif value.__class__ is list and depth < _DEPTH:
            for inner in value:
                if isinstance(inner, dict):
                    yield from _within(inner, depth + 1)


def _texts(value: Any) -> Iterator[str]:
    match value:
        case str():
            yield value
        case bool():
            return
        case int():
            yield str(value)
        case list():
            for entry in value:
                if isinstance(entry, str):
                    yield entry
        case _:
            return
