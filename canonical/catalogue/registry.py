"""All event types, in the order of the domain's table, and how one is found by its name."""

from difflib import get_close_matches
from typing import Final

from canonical.catalogue import (
    equipment,
    insight,
    integration,
    inventory,
    logistics,
    maintenance,
    masterdata,
    procurement,
    production,
    quality,
    sales,
    telemetry,
    workflow,
)
from canonical.catalogue.entry import PREFIX, EventType

__all__ = ["UnknownType", "all_types", "full_name", "get"]

_TYPES: Final[tuple[EventType, ...]] = (
    *telemetry.TYPES,
    *equipment.TYPES,
    *production.TYPES,
    *inventory.TYPES,
    *quality.TYPES,
    *maintenance.TYPES,
    *procurement.TYPES,
    *sales.TYPES,
    *logistics.TYPES,
    *masterdata.TYPES,
    *integration.TYPES,
    *workflow.TYPES,
    *insight.TYPES,
)

_BY_NAME: Final[dict[str, EventType]] = {
    name: entry for entry in _TYPES for name in (entry.suffix, f"{entry.suffix}.v{entry.version}", entry.name)
}


class UnknownType(LookupError):
    """No event type has this name; the text names the nearest one, `suggestion` is it or None."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.suggestion = _nearest(name)
        hint = f"; did you mean {self.suggestion}?" if self.suggestion else ""
        super().__init__(f"unknown event type {name!r}{hint}")


def _nearest(name: str) -> str | None:
    """The suffix that looks most like a name, whatever prefix and version it has."""
    bare = name.removeprefix(PREFIX)
    stem, _, version = bare.rpartition(".v")
    found = get_close_matches(stem if version.isdigit() else bare, [entry.suffix for entry in _TYPES], n=1)
    return found[0] if found else None


def get(type_or_suffix: str) -> EventType:
    """The type of that name: `procurement.asn.received`, with `.v1`, or in full; raises UnknownType."""
    try:
        return _BY_NAME[type_or_suffix]
    except KeyError:
        raise UnknownType(type_or_suffix) from None


def full_name(suffix: str) -> str:
    """The CloudEvents type: com.crossplant.procurement.asn.received.v1; raises UnknownType."""
    return get(suffix).name


def all_types() -> tuple[EventType, ...]:
    """Every event type, in the order of the catalogue."""
    return _TYPES
