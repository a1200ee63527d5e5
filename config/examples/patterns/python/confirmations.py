"""Order confirmations for the ERP: what a field map could say only with difficulty."""
# ruff: noqa: INP001 - a module of a deployment, not of a package

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from decimal import Decimal
from typing import Any


def confirmation(data: dict[str, Any], lookup: Callable[[str, str, str], str]) -> dict[str, Any]:
    """The ERP's confirmation: its own item code, yield in percent, and the period that it is posted in."""
    good, scrap = Decimal(data["good"]["value"]), Decimal(data["scrap"]["value"])
    finished = datetime.fromisoformat(data["completed_at"])
    return {
        "order": data["order"],
        "material": lookup("item", "erp", data["item"]),
        "good": str(good),
        "yield": str(round(100 * good / (good + scrap), 1)),
        "period": f"{finished.isocalendar().year}-W{finished.isocalendar().week:02}",
    }
