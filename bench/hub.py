"""The product as ``crossplant run`` starts it, with a deployment written for the measurement."""

from __future__ import annotations

import asyncio
import json
from asyncio.subprocess import Process
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

from aiohttp import ClientError, ClientSession, ClientTimeout
from msgspec import Struct

from bench.program import output, python, running
from tests.servers import free_port, give_back

__all__ = ["Hub", "hub"]

_READY_S = 60.0


class Hub(Struct, frozen=True, kw_only=True):
    """A running hub."""

    process: Process
    url: str
    folder: Path

    async def key(self) -> str:
        """A key for its HTTP services."""
        made = await output(
            python(
                "gateway.cli", "keys", "create", "bench", "--role", "admin", "--data", self.folder, "--json"
            ),
            within_s=_READY_S,
        )
        return str(json.loads(made)["key"])

    def log(self) -> str:
        """The end of what it wrote."""
        return (self.folder / "hub.log").read_text(errors="replace")[-2000:]


@asynccontextmanager
async def hub(
    folder: Path, deployment: str, *, environment: Mapping[str, str] | None = None
) -> AsyncIterator[Hub]:
    """A hub that is ready. ``deployment`` is YAML without company and gateway."""
    port = free_port()
    settings = _written(folder, f"company: acme\ngateway: {{bind: 127.0.0.1, port: {port}}}\n{deployment}")
    argv = python("gateway.cli", "run", "--config", settings, "--data", folder)
    try:
        async with running(argv, folder / "hub.log", environment=environment) as process:
            found = Hub(process=process, url=f"http://127.0.0.1:{port}", folder=folder)
            await _ready(found)
            yield found
    finally:
        give_back(port)


def _written(folder: Path, deployment: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    settings = folder / "deployment.yaml"
    settings.write_text(deployment)
    return settings


async def _ready(found: Hub) -> None:
    async with asyncio.timeout(_READY_S), ClientSession(timeout=ClientTimeout(2)) as client:
        while True:
            if found.process.returncode is not None:
                raise RuntimeError(f"the hub has ended: {found.log()}")
            try:
                async with client.get(f"{found.url}/readyz") as answer:
                    if answer.status == 200:
                        return
            except (ClientError, OSError, TimeoutError):
                pass
            await asyncio.sleep(0.05)
