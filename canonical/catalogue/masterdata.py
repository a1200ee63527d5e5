"""Changes of master data, and codes that no crosswalk knows.

`key` is the canonical code. `version` orders the changes of one key. `snapshot` is the whole record as its
system wrote it, so its fields are open. `effective_to` is left out while no end is known.
"""

from typing import Any, Literal

from canonical.catalogue.entry import EventType
from canonical.values import Code, Instant, ItemCode, PartnerCode, Revision, UomCode, Value, WorkCentreCode

__all__ = [
    "TYPES",
    "BomChanged",
    "CrosswalkChanged",
    "ItemChanged",
    "MappingUnresolved",
    "PartnerChanged",
    "RoutingChanged",
    "UomChanged",
    "WorkCentreChanged",
]


class Change(Value, frozen=True, kw_only=True):
    """What all changes of master data have in common."""

    version: Revision
    operation: Literal["created", "updated", "deleted"]
    effective_from: Instant
    steward: Code
    effective_to: Instant | None = None
    snapshot: dict[str, Any] | None = None


class ItemChanged(Change, frozen=True, kw_only=True):
    """An item's record changed; `key` is the item."""

    key: ItemCode


class BomChanged(Change, frozen=True, kw_only=True):
    """A bill of material changed; `key` is the item that it makes."""

    key: ItemCode


class RoutingChanged(Change, frozen=True, kw_only=True):
    """A routing changed; `key` is the routing."""

    key: Code


class WorkCentreChanged(Change, frozen=True, kw_only=True):
    """A work centre's record changed; `key` is the work centre."""

    key: WorkCentreCode


class PartnerChanged(Change, frozen=True, kw_only=True):
    """A customer's, supplier's or carrier's record changed; `key` is the partner."""

    key: PartnerCode


class UomChanged(Change, frozen=True, kw_only=True):
    """A unit, or a conversion factor of one, changed; `key` is the unit."""

    key: UomCode


class CrosswalkChanged(Change, frozen=True, kw_only=True):
    """A crosswalk row changed; `key` is the row."""

    key: Code


class MappingUnresolved(Value, frozen=True, kw_only=True):
    """A code of a source has no canonical value, and an event waits for one.

    `domain` is the crosswalk's (item, location, …), `system` whose code it is, `blocked_event` the first
    event that waits, `candidates` canonical values that look alike.
    """

    domain: Code
    system: Code
    value: str
    blocked_event: Code
    candidates: tuple[str, ...] | None = None


TYPES = (
    EventType(
        suffix="masterdata.item.changed",
        domain="masterdata",
        key="K",
        model=ItemChanged,
        subject="key",
        summary="An item's record changed.",
    ),
    EventType(
        suffix="masterdata.bom.changed",
        domain="masterdata",
        key="K",
        model=BomChanged,
        subject="key",
        summary="A bill of material changed.",
    ),
    EventType(
        suffix="masterdata.routing.changed",
        domain="masterdata",
        key="K",
        model=RoutingChanged,
        subject="key",
        summary="A routing changed.",
    ),
    EventType(
        suffix="masterdata.workcentre.changed",
        domain="masterdata",
        key="K",
        model=WorkCentreChanged,
        subject="key",
        summary="A work centre's record changed.",
    ),
    EventType(
        suffix="masterdata.partner.changed",
        domain="masterdata",
        key="K",
        model=PartnerChanged,
        subject="key",
        summary="A partner's record changed.",
    ),
    EventType(
        suffix="masterdata.uom.changed",
        domain="masterdata",
        key="K",
        model=UomChanged,
        subject="key",
        summary="A unit of measure changed.",
    ),
    EventType(
        suffix="masterdata.crosswalk.changed",
        domain="masterdata",
        key="K",
        model=CrosswalkChanged,
        subject="key",
        summary="A crosswalk row changed.",
    ),
    EventType(
        suffix="masterdata.mapping.unresolved",
        domain="masterdata",
        key="K",
        model=MappingUnresolved,
        subject="domain/system/value",
        summary="A code has no canonical value, and an event waits for one.",
    ),
)
