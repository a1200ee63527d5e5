"""An adapter tried out, beside the hub: can it be reached, does it let us in, what does it say."""

from __future__ import annotations

import os
import shutil
import ssl
from collections.abc import AsyncIterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final
from urllib.parse import urlsplit

from canonical import catalogue
from canonical.errors import ConfigError, CrossplantError
from canonical.ports import RawMessage
from canonical.probing import Step, by_sink, by_source, reached
from canonical.spec import AdapterContext
from config.model import AdapterConfig, Deployment
from gateway.cases import Bench
from gateway.trial import Silent

__all__ = ["probe"]

_PORTS: Final = {
    "amqp": 5672,
    "amqps": 5671,
    "http": 80,
    "https": 443,
    "mqtt": 1883,
    "mqtts": 8883,
    "opc.tcp": 4840,
    "sftp": 22,
}
_SECURE: Final = frozenset({"amqps", "https", "mqtts"})
_COPIED_BYTES: Final = 10_000_000


async def probe(deployment: Deployment, name: str, data_dir: Path | None = None) -> AsyncIterator[Step]:
    """The steps of an adapter's test, each as it is done; ends after the first one that fails.

    ``data_dir`` is the hub's: certificates that it made are used, as a copy. Raises ConfigError for an
    adapter that is not there.
    """
    adapter = deployment.adapters.get(name)
    if adapter is None:
        known = ", ".join(deployment.adapters) or "none"
        raise ConfigError(f"no adapter {name!r} in this deployment; there are: {known}")
    async for step in _reached(adapter):
        yield step
        if step.ok is False:
            return
    with TemporaryDirectory(prefix="crossplant-probe-") as folder:
        own = Path(folder)
        _copy(data_dir, name, own)
        context = AdapterContext(
            name=name,
            source=deployment.event_source(name),
            plant=adapter.plant,
            partner=adapter.partner,
            timezone=deployment.timezone(name),
            data_dir=own,
            log=Silent(),
        )
        try:
            async for step in _tried(adapter, context):
                yield step
                if step.message is not None:
                    yield await _event(deployment, adapter, step.message)
        except CrossplantError as error:
            yield Step(name="login", ok=False, detail=error.message, remedy="mend the configuration")


def _copy(data_dir: Path | None, name: str, into: Path) -> None:
    """The adapter's own folder of a hub: its certificate and whom it trusts. Nothing of it is changed."""
    kept = data_dir / "adapters" / name if data_dir else None
    if kept is None or not kept.is_dir():
        return
    files = [path for path in kept.rglob("*") if path.is_file()]
    if sum(path.stat().st_size for path in files) <= _COPIED_BYTES:
        shutil.copytree(kept, into, dirs_exist_ok=True)


async def _reached(adapter: AdapterConfig) -> AsyncIterator[Step]:
    """Name, TCP and TLS of the options' ``url``, for a kind that has one."""
    url = getattr(adapter.options, "url", None)
    if not isinstance(url, str):
        return
    parts = urlsplit(url)
    port = parts.port or _PORTS.get(parts.scheme, 0)
    if not parts.hostname or not port:
        return
    try:
        context = _tls(adapter.options) if parts.scheme in _SECURE else None
    except (OSError, ValueError) as error:
        yield Step(name="tls", ok=False, detail=f"tls.ca cannot be used: {error}", remedy="name a PEM file")
        return
    async for step in reached(parts.hostname, port, context):
        yield step


def _tls(options: Any) -> ssl.SSLContext:
    """What the server's certificate is verified with: the system's authorities, or those of ``tls.ca``."""
    ca = getattr(getattr(options, "tls", None), "ca", None)
    if ca is None:
        return ssl.create_default_context()
    if isinstance(ca, str) and "-----BEGIN " in ca:
        return ssl.create_default_context(cadata=ca)
    return ssl.create_default_context(cafile=os.fspath(ca))


def _tried(adapter: AdapterConfig, context: AdapterContext) -> AsyncIterator[Step]:
    spec = adapter.spec
    if spec.probe is not None:
        return spec.probe(adapter.options, context)
    if adapter.receives and spec.source is not None:
        return by_source(spec.source(adapter.options, context), context)
    if spec.sink is not None:
        return by_sink(spec.sink(adapter.options, context), context)
    raise ConfigError(f"adapter {context.name!r} neither takes in nor delivers: it has no format")


async def _event(deployment: Deployment, adapter: AdapterConfig, message: RawMessage) -> Step:
    """What the sample would become, by the hub's own way in."""
    if adapter.format is None and adapter.spec.decoder is None:
        return Step(name="event", ok=None, detail="the adapter has no format: nothing comes in through it")
    events, _, refused = await Bench(deployment).trial(
        message.adapter, message.body, message.attributes, message.content_type
    )
    faults = [one for one in refused if not one.route]
    if faults:
        remedy = "mend the adapter's format; `crossplant test --record` keeps a message to try it with"
        return Step(name="event", ok=False, detail=f"{faults[0].code}: {faults[0].error}", remedy=remedy)
    if not events:
        return Step(name="event", ok=None, detail="the format wants nothing of this message")
    first = events[0]
    more = f", and {len(events) - 1} more" if len(events) > 1 else ""
    detail = f"{catalogue.get(first.type).suffix} {first.subject or first.id}{more}"
    return Step(name="event", ok=True, detail=detail)
