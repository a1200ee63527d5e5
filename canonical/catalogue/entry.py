"""One entry of the catalogue, and which types are settled."""

from typing import Final, Literal

from msgspec import Struct

from canonical.values import Value

__all__ = ["STABLE", "Domain", "EventType", "Key", "Stability"]

Domain = Literal[
    "telemetry",
    "equipment",
    "production",
    "inventory",
    "quality",
    "maintenance",
    "procurement",
    "sales",
    "logistics",
    "masterdata",
    "integration",
    "workflow",
    "insight",
]
Key = Literal["E", "O", "M", "H", "D", "K", "X"]
"""What orders events: E equipment, O order, M plant and item, H hold or inspection, D document,
K master-data key, X instance."""
Stability = Literal["stable", "preview"]

PREFIX: Final = "com.crossplant."

STABLE: Final = frozenset(
    {
        "telemetry.measurement.recorded",
        "telemetry.source.changed",
        "equipment.state.changed",
        "equipment.count.reported",
        "production.order.released",
        "production.order.completed",
        "inventory.adjusted",
        "inventory.moved",
        "inventory.balance.reported",
        "procurement.asn.received",
        "quality.hold.placed",
        "masterdata.mapping.unresolved",
        "integration.message.dead_lettered",
        "integration.message.replayed",
    }
)
"""The types that a source or a sink has proved. All others are previews: they may still change in v1."""


class EventType(Struct, frozen=True, kw_only=True):
    """What the catalogue knows about one type of event.

    `subject` says which data gives the subject when a mapping names none: alternatives are parted by `|`,
    the parts of a composite by `/` (`asn | purchase_order/line`). `ordered`: the type's default order on a
    route is by key. `revision` counts the compatible changes of the schema within `version`.
    """

    suffix: str
    domain: Domain
    key: Key
    model: type[Value]
    subject: str
    summary: str
    version: int = 1
    revision: int = 0
    ordered: bool = True

    @property
    def name(self) -> str:
        """The CloudEvents `type`: com.crossplant.{suffix}.v{version}."""
        return f"{PREFIX}{self.suffix}.v{self.version}"

    @property
    def stability(self) -> Stability:
        """`stable` once a source or sink has proved the type, else `preview`."""
        return "stable" if self.suffix in STABLE else "preview"

    @property
    def dataschema(self) -> str:
        """The CloudEvents `dataschema`, which is the `$id` of the JSON Schema of the data."""
        return f"urn:crossplant:schema:{self.suffix}:{self.version}.{self.revision}"
