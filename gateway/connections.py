"""The adapters of a deployment while they run: built, supervised, closed."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from pathlib import Path

from msgspec import Struct

from canonical.errors import ConfigError
from canonical.ports import RawMessage, Sink, Source
from canonical.spec import AdapterContext, AdapterSpec, Health, Log
from config.model import AdapterConfig, Deployment
from gateway.compile import decoder_of
from router.ingest import DECODER, SOURCE, Ingest, Intake

__all__ = ["RunningAdapter", "connect", "supervise"]

_FIRST_RESTART_S, _LAST_RESTART_S = 1.0, 60.0
_CLOSE_S = 10.0

States = Callable[[str], Awaitable[dict[str, bytes]]]
History = Callable[[str, int], Awaitable[Sequence[RawMessage]]]


class RunningAdapter(Struct, kw_only=True):
    """One adapter. ``source`` and ``sink`` are None where it has no such side; ``source_id`` is the
    CloudEvents source of its events. ``decoder_state`` is what the decoder had last committed.
    ``opened``: its source is open already."""

    name: str
    config: AdapterConfig
    spec: AdapterSpec
    plant: str | None
    source_id: str
    health: Health
    context: AdapterContext
    source: Source | None = None
    sink: Sink | None = None
    task: asyncio.Task[None] | None = None
    decoder_state: bytes | None = None
    opened: bool = False


async def connect(
    name: str,
    deployment: Deployment,
    data_dir: Path,
    *,
    states: States,
    history: History,
    delivers: bool,
    clock: Callable[[], datetime],
    log: Log,
) -> RunningAdapter:
    """The adapter built, nothing opened. ``delivers``: a route names it. Raises ConfigError."""
    adapter = deployment.adapters[name]
    folder = data_dir / "adapters" / name
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    kept = await states(name)

    async def newest(limit: int) -> Sequence[RawMessage]:
        return await history(name, limit)

    context = AdapterContext(
        name=name,
        source=deployment.event_source(name),
        plant=adapter.plant,
        partner=adapter.partner,
        timezone=deployment.timezone(name),
        data_dir=folder,
        log=_named(log, name),
        state=kept.get(SOURCE),
        history=newest,
        clock=clock,
    )
    spec = adapter.spec
    running = RunningAdapter(
        name=name,
        config=adapter,
        spec=spec,
        plant=adapter.plant,
        source_id=context.source,
        health=context.health,
        context=context,
        decoder_state=kept.get(DECODER),
    )
    if adapter.receives and spec.source is not None:
        running.source = spec.source(adapter.options, context)
    if delivers:
        if spec.sink is None:
            raise ConfigError(
                f"adapter {name!r} of kind {spec.kind!r} cannot deliver", key=f"adapters.{name}"
            )
        running.sink = spec.sink(adapter.options, context)
    return running


def _named(log: Log, name: str) -> Log:
    """The log with the adapter's name in every line, where it can carry one."""
    bind = getattr(log, "bind", None)
    named: Log = bind(adapter=name) if callable(bind) else log
    return named


def intake_of(running: RunningAdapter) -> Intake:
    """How ingest knows it."""
    return Intake(
        name=running.name,
        source=running.source_id,
        plant=running.plant,
        decoder=decoder_of(running.config, running.context),
        health=running.health,
        state=running.decoder_state,
    )


async def supervise(running: RunningAdapter, ingest: Ingest, log: Log) -> None:
    """Runs the adapter's source until it is closed; one that fails is built anew, ever more slowly."""
    wait_s = _FIRST_RESTART_S
    while running.source is not None:
        try:
            if not running.opened:
                await running.source.open()
            running.opened = False
            await ingest.run(running.name, running.source)
            return
        except ConfigError as error:
            running.health.connected, running.health.detail = False, str(error)
            log.error("adapter_misconfigured", adapter=running.name, error=str(error))
            wait_s = _LAST_RESTART_S
        except Exception as error:  # noqa: BLE001 - whatever it is, the others go on and this one comes back
            running.health.connected, running.health.detail = False, repr(error)
            log.error("adapter_failed", adapter=running.name, error=repr(error), restart_in_s=wait_s)
        await close(running.source.close(), running.name, log)
        await asyncio.sleep(wait_s)
        wait_s = min(wait_s * 2, _LAST_RESTART_S)
        assert running.spec.source is not None
        running.source = running.spec.source(running.config.options, running.context)


async def close(closing: Awaitable[None], name: str, log: Log) -> None:
    """Waits for a close, for a bounded time; a failure is logged and keeps no other from closing."""
    try:
        async with asyncio.timeout(_CLOSE_S):
            await closing
    except Exception as error:  # noqa: BLE001 - the rest must close all the same
        log.warning("close_failed", adapter=name, error=repr(error))
