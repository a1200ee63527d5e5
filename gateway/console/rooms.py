"""All that the console serves."""

from __future__ import annotations

from typing import Final

from fastapi import APIRouter

from gateway.console import (
    assets,
    codes,
    door,
    editing,
    exceptions,
    levels,
    live,
    overview,
    retrying,
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
    codes.api,
    levels.api,
    topology.api,
)
