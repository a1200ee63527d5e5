"""The formatters of both formats: the data of an order, or of an interchange that is to be answered."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from adapters.edi.config import EdifactOptions, EdiOptions, X12Options
from adapters.edi.edifact import contrl
from adapters.edi.edifact import order_writer as edifact_order
from adapters.edi.interchange import Standard
from adapters.edi.outgoing import control_of, numbered, refuse
from adapters.edi.x12 import acknowledgement
from adapters.edi.x12 import order_writer as x12_order
from canonical.ledger import Control

__all__ = ["EdifactFormatter", "X12Formatter"]

Writer = Callable[[Mapping[str, Any], Any], bytes]


class EdifactFormatter:
    """Orders as ORDERS D.96A, answers as CONTRL."""

    content_type = "application/EDIFACT"  # RFC 1767

    def __init__(self, options: EdifactOptions) -> None:
        self._options = options

    def control(self, payload: Any) -> Control:
        """See ``canonical.ports.InterchangeFormatter``."""
        return control_of(payload, self._options, "edifact")

    def interchange(self, payload: Any, reference: str, prepared_at: datetime) -> bytes:
        """See ``canonical.ports.InterchangeFormatter``."""
        return self.format(numbered(payload, reference, prepared_at))

    def format(self, payload: Any) -> bytes:
        """Raises Invalid when the payload is neither, or has what EDIFACT has no form for."""
        return _written(payload, self._options, "edifact", edifact_order.write_order, contrl.acknowledge)


class X12Formatter:
    """Orders as 850, answers as 997 or TA1."""

    content_type = "application/EDI-X12"  # RFC 1767

    def __init__(self, options: X12Options) -> None:
        self._options = options

    def control(self, payload: Any) -> Control:
        """See ``canonical.ports.InterchangeFormatter``."""
        return control_of(payload, self._options, "x12")

    def interchange(self, payload: Any, reference: str, prepared_at: datetime) -> bytes:
        """See ``canonical.ports.InterchangeFormatter``."""
        return self.format(numbered(payload, reference, prepared_at))

    def format(self, payload: Any) -> bytes:
        """Raises Invalid when the payload is neither, or has what X12 has no form for."""
        return _written(payload, self._options, "x12", x12_order.write_order, acknowledgement.acknowledge)


def _written(payload: Any, options: EdiOptions, standard: Standard, order: Writer, answer: Writer) -> bytes:
    if not isinstance(payload, Mapping):
        refuse("", "must be an object")
    if "purchase_order" in payload:
        return order(payload, options)
    if "outcome" not in payload:
        refuse("", "is neither an order (purchase_order) nor an interchange to be answered (outcome)")
    if payload.get("standard") != standard:
        refuse("/standard", f"is {payload.get('standard')!r}; this format answers {standard} only")
    return answer(payload, options)
