"""Who keeps the codes of a domain."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from canonical.values import CodeDomain
from config.part import Part

__all__ = ["AttributeGroup", "Stewardship"]

AttributeGroup = CodeDomain | Literal["package"]
"""A domain of codes, or ``package``: what is in an item's packages."""


class Stewardship(Part):
    """One writer per domain of codes: who that is."""

    keys: list[str] | None = Field(
        None,
        min_length=1,
        description="The names of the API keys that may write its rows, and no other; default: every key of "
        "role steward or admin.",
    )
    second_person: bool = Field(
        False, description="Whether a row takes effect only once somebody else than its author approves it."
    )
