"""What planning should have of a stock count, wherever it was counted."""

from __future__ import annotations

from simulator.ledger import Document

__all__ = ["stock_document"]


def stock_document(count: str) -> Document:
    """Planning's document of one balance, named by the plant's own number of the count."""
    return Document(system="planning", kind="stock", reference=count)
