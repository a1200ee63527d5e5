"""Addresses of pages that others link to."""

from __future__ import annotations

from urllib.parse import urlencode

__all__ = ["code_address"]


def code_address(domain: str, system: str, value: str) -> str:
    """The page of an unknown code."""
    return f"/codes/one?{urlencode({'domain': domain, 'system': system, 'value': value})}"
