"""Which events somebody asks for, and which of them they may see."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Annotated, Any

from fastapi import Query
from pydantic import AfterValidator, AwareDatetime

from canonical import catalogue
from canonical.event import Event
from gateway.auth import Principal, forbidden
from gateway.problems import Problem
from gateway.projections.questions import Filters
from router.journal import Header

__all__ = ["Moment", "PlantName", "Selection", "filters_of", "header_filter", "matcher"]


def _full_name(name: str) -> str:
    try:
        return catalogue.full_name(name)
    except catalogue.UnknownType as error:
        raise ValueError(str(error)) from None


Moment = AwareDatetime
"""RFC 3339 with an offset."""
TypeName = Annotated[str, AfterValidator(_full_name)]
PlantName = Annotated[str, Query(max_length=200)]
_Text = Annotated[str | None, Query(max_length=1024)]


class Selection:
    """A dependency: the query parameters that lists and streams of events share."""

    def __init__(
        self,
        type: Annotated[
            TypeName | None, Query(description="A type of the catalogue, in full or its suffix.")
        ] = None,
        plant: Annotated[
            str | None, Query(max_length=200, description="A plant; `-`: events of no plant.")
        ] = None,
        domain: Annotated[str | None, Query(max_length=200, description="A domain of the catalogue.")] = None,
        subject: _Text = None,
        correlationid: _Text = None,
        source: _Text = None,
    ) -> None:
        self.type, self.plant, self.domain = type, plant, domain
        self.subject, self.correlationid, self.source = subject, correlationid, source


def filters_of(
    selection: Selection, principal: Principal, since: datetime | None = None, until: datetime | None = None
) -> Filters:
    """What is asked for, bounded by what may be seen. Raises Problem 403 for a plant or domain of others."""
    plant, domain = selection.plant, selection.domain
    if plant is not None and not principal.sees(None if plant == "-" else plant):
        raise forbidden(f"the key is not for plant {plant!r}")
    if domain is not None and principal.domains is not None and domain not in principal.domains:
        raise forbidden(f"the key is not for domain {domain!r}")
    if since is not None and until is not None and since > until:
        raise Problem(
            422, "parameters", "since is later than until", errors=[("/query/since", "is after until")]
        )
    return Filters(
        type=selection.type,
        plant=plant,
        domain=domain,
        subject=selection.subject,
        correlationid=selection.correlationid,
        source=selection.source,
        since=None if since is None else since.timestamp(),
        until=None if until is None else until.timestamp(),
        plants=principal.plants,
        domains=principal.domains,
    )


def matcher(filters: Filters) -> Callable[[Event], bool]:
    """Whether an event is among what the filters select; times left out."""
    exact: list[tuple[str, Any]] = [
        (name, wanted)
        for name in ("type", "domain", "subject", "correlationid", "source")
        if (wanted := getattr(filters, name)) is not None
    ]
    plant, plants, domains = filters.plant, filters.plants, filters.domains

    def takes(event: Event) -> bool:
        of = event.plantid or "-"
        return (
            all(getattr(event, name) == wanted for name, wanted in exact)
            and (plant is None or of == plant)
            and (plants is None or of in plants)
            and (domains is None or (event.domain or "-") in domains)
        )

    return takes


def header_filter(filters: Filters) -> Callable[[Header], bool]:
    """Whether a bundle may hold any of them."""

    def wanted(header: Header) -> bool:
        return any(
            (filters.type is None or filters.type in types)
            for plant, types in header.counts.items()
            if filters.plant in {None, plant} and (filters.plants is None or plant in filters.plants)
        )

    return wanted
