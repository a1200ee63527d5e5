"""A subscription for a session: the one that the server kept for us, or a new one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from adapters.opcua.config import OpcuaConfig
from adapters.opcua.durable import Durable, fingerprint
from adapters.opcua.items import MonitoredItems
from adapters.opcua.session import Session
from adapters.opcua.units import read_units
from canonical.event import new_id
from canonical.spec import Log

__all__ = ["Subscribed", "limit_s", "subscribe"]

MARGIN: Final = 1.5
LEAST_MARGIN_S: Final = 1.0


class Subscribed(Struct, frozen=True, kw_only=True):
    """``lost_by`` says why values may be lost since the subscription before; None when none are."""

    durable: Durable
    items: MonitoredItems
    units: Mapping[int, str]
    lost_by: str | None


async def subscribe(settings: OpcuaConfig, session: Session, before: Durable | None, log: Log) -> Subscribed:
    """Watches all tags; those that are refused are in ``items``, for later."""
    around = await session.surroundings()
    units = await read_units(settings, session, around)
    wishes = fingerprint(settings)
    if before is not None and before.subscription_id and before.server_started_at == around.started_at:
        if settings.resume and before.wishes == wishes:
            kept = [] if session.resumed else await session.take_over(before.subscription_id)
            if kept is not None:
                items = MonitoredItems(settings, session, around, before.subscription_id, log, before.refused)
                log.info("opcua_resumed", subscription=before.subscription_id, session=session.session_id)
                return Subscribed(durable=_from(before, kept), items=items, units=units, lost_by=None)
        else:
            await session.forget(before.subscription_id)
    revised = await session.create_subscription(
        interval_s=settings.publishing_interval,
        keep_alive_count=settings.keep_alive_count,
        lifetime_count=settings.lifetime_count,
        max_notifications=settings.max_notifications,
    )
    items = MonitoredItems(settings, session, around, revised.id, log)
    await items.create_all()
    durable = Durable(
        epoch=new_id(),
        subscription_id=revised.id,
        server_started_at=around.started_at,
        wishes=wishes,
        quiet_s=revised.publishing_interval_s * revised.keep_alive_count,
        heard_at=before.heard_at if before else None,
    )
    log.info("opcua_subscribed", subscription=revised.id, tags=len(settings.tags), refused=len(items.refused))
    return Subscribed(
        durable=durable.without(items.refused), items=items, units=units, lost_by=_cause(before, durable)
    )


def _from(before: Durable, kept: Sequence[int]) -> Durable:
    """Goes back to the first message that was not acknowledged, where the server has kept it."""
    first = min(kept, default=0)
    return replace(before, last=first - 1) if 0 < first <= before.last else before


def _cause(before: Durable | None, now: Durable) -> str | None:
    if before is None:
        return None
    if before.server_started_at != now.server_started_at:
        return "server_restarted"
    return "reconfigured" if before.wishes != now.wishes else "subscription_recreated"


def limit_s(settings: OpcuaConfig, quiet_s: float) -> float:
    """How long silence may last: until a keep-alive is due, and a margin for the network.

    A `stale_after` shorter than the server's own rhythm, which may not be the one asked for, would be a
    false alarm each time: then the margin counts.
    """
    if settings.stale_after is not None and settings.stale_after > quiet_s:
        return settings.stale_after
    return max(quiet_s * MARGIN, quiet_s + LEAST_MARGIN_S)
