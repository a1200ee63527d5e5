"""All that the console serves."""

from __future__ import annotations

from typing import Final

from fastapi import APIRouter

from gateway.console import (
    assets,
    audit,
    codes,
    door,
    editing,
    exceptions,
    levels,
    live,
    overview,
    retrying,
    rows,
    timeline,
    topology,
    workbench,
)

__all__ = ["ROOMS"]

ROOMS: Final[tuple[APIRouter, ...]] = (
    assets.api,
    door.api,
    live.api,
    overview.api,
    timeline.api,
    retrying.api,  # before workbench: groups and retries are no numbers
    editing.api,
    workbench.api,
    exceptions.api,
    rows.api,
    codes.api,
    levels.api,
    topology.api,
    audit.api,
)
