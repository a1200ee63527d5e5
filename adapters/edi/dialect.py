"""The two standards behind one face: how their interchanges are found, and which messages are mapped."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from msgspec import Struct

from adapters.edi.config import EdifactOptions, X12Options
from adapters.edi.edifact import file as edifact_file
from adapters.edi.edifact.desadv import read_desadv
from adapters.edi.edifact.invrpt import read_invrpt
from adapters.edi.edifact.orders import read_orders
from adapters.edi.edifact.structure import Structure
from adapters.edi.interchange import Interchange, Message, Standard
from adapters.edi.reading import Document, Reading
from adapters.edi.segment import Segment
from adapters.edi.x12 import file as x12_file
from adapters.edi.x12.inventory_advice import read_inventory_advice
from adapters.edi.x12.purchase_order import read_purchase_order
from adapters.edi.x12.ship_notice import read_ship_notice

__all__ = ["EDIFACT", "X12", "Dialect", "Mapper"]

Mapper = Callable[[Reading, Iterator[Segment]], Iterator[Document]]


class Dialect(Struct, frozen=True, kw_only=True):
    """What is different about a standard. ``checked`` follows a message's structure as it is read."""

    standard: Standard
    interchanges: Callable[[bytes, Any], Iterator[Interchange]]
    mappers: Mapping[str, Mapper]
    checked: Callable[[Interchange, Message, Any], Iterator[Segment]]


def _by_directory(interchange: Interchange, message: Message, options: EdifactOptions) -> Iterator[Segment]:
    """The segments of a message, each held against the UN directory."""
    if options.structure == "off" or message.type in options.ignore:
        yield from interchange.tokens(message)
        return
    structure = Structure(message, interchange.findings, strict=options.structure == "strict")
    for segment in interchange.tokens(message):
        structure.take(segment)
        yield segment


def _as_it_is(interchange: Interchange, message: Message, options: X12Options) -> Iterator[Segment]:
    """The segments of a message: the structures of X12 are under copyright, so there is no table of them."""
    return interchange.tokens(message)


EDIFACT = Dialect(
    standard="edifact",
    interchanges=edifact_file.interchanges,
    mappers={"ORDERS": read_orders, "DESADV": read_desadv, "INVRPT": read_invrpt},
    checked=_by_directory,
)
X12 = Dialect(
    standard="x12",
    interchanges=x12_file.interchanges,
    mappers={
        "850": read_purchase_order,
        "856": read_ship_notice,
        "846": read_inventory_advice,
    },
    checked=_as_it_is,
)
