"""Crosswalk rows as their stewards keep them: proposed, approved, imported, retired; what waits goes on."""

from gateway.crosswalks.service import API, FILES, Crosswalks
from gateway.crosswalks.stewards import NotSteward

__all__ = ["API", "FILES", "Crosswalks", "NotSteward"]
