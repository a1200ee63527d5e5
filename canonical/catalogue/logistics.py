"""Where shipments are."""

from canonical.catalogue.entry import EventType
from canonical.values import Code, Instant, PartnerCode, Sscc, UnLocode, Value

__all__ = ["TYPES", "ShipmentMilestone"]


class ShipmentMilestone(Value, frozen=True, kw_only=True):
    """A shipment reached a point of its way (EDIFACT IFTSTA, X12 214).

    `milestone` is the carrier's status code; `un_locode` the place (UN/LOCODE); `sscc` the units concerned.
    """

    shipment: Code
    milestone: Code
    at: Instant
    eta: Instant | None = None
    carrier: PartnerCode | None = None
    sscc: tuple[Sscc, ...] | None = None
    un_locode: UnLocode | None = None


TYPES = (
    EventType(
        suffix="logistics.shipment.milestone",
        domain="logistics",
        key="D",
        model=ShipmentMilestone,
        subject="shipment",
        summary="A shipment reached a point of its way.",
    ),
)
