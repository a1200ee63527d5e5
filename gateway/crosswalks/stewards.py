"""Who may write the rows of a domain of codes. Pure.

A steward may approve what they proposed themselves, or add a row at once: the domain has one accountable
writer, the row has a history, and a wrong one is retired without a trace in the journal, which keeps the
source's own codes. Where that is not enough, ``second_person`` of the domain asks for another.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from canonical.errors import CrossplantError
from config.model import Stewardship

__all__ = ["OPEN", "NotSteward", "refusal", "same_person"]

OPEN: Final = Stewardship()
"""Of a domain that the configuration says nothing about: every steward's."""


class NotSteward(CrossplantError):
    """The codes are kept by somebody else, or a second person is needed."""

    code = "not_steward"


def refusal(stewardship: Mapping[Any, Stewardship], domain: str, by: str) -> str:
    """Why ``by`` may not write the domain's rows; empty when they may."""
    keys = stewardship.get(domain, OPEN).keys
    if keys is None or by in keys:
        return ""
    others = ", ".join(keys)
    return f"the codes of {domain} are kept by {others}, not by {by}: ask them, or see `stewardship`"


def same_person(stewardship: Mapping[Any, Stewardship], domain: str, author: str, by: str) -> str:
    """Why ``by`` may not approve what ``author`` wrote; empty when they may."""
    if author != by or not stewardship.get(domain, OPEN).second_person:
        return ""
    return f"rows of {domain} need a second person's approval, and this one is by {by}: propose it as a draft"
