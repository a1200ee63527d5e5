"""Retries and replays of many, which somebody began: who sees them, acts on them, and how they are listed."""

from __future__ import annotations

from typing import Protocol, TypeVar

from gateway.auth import Principal, forbidden

__all__ = ["Begun", "everywhere", "seen_by_beginner"]


class Begun(Protocol):
    """``by``: who began it."""

    @property
    def by(self) -> str: ...


B = TypeVar("B", bound=Begun)


def everywhere(principal: Principal, what: str) -> None:
    """Raises Problem 403 unless the key is for all plants and domains: each of ``what`` may span them."""
    if not principal.everywhere:
        raise forbidden(f"{what} of others are for keys of all plants and domains")


def seen_by_beginner(principal: Principal, found: B, what: str) -> B:
    """What was found: whoever began it sees it, and who has all plants and domains. Raises Problem 403."""
    if found.by != principal.name:
        everywhere(principal, what)
    return found
