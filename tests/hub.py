"""A hub as a process of its own, as ``crossplant run`` starts it."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from pathlib import Path
from typing import Any

from aiohttp import ClientSession, ClientTimeout

from tests.servers.ports import LOOPBACK
from tests.waiting import eventually

__all__ = ["HubProcess"]


class HubProcess:
    """``crossplant run`` as a process of its own, started again after each kill."""

    def __init__(self, folder: Path, settings: Path, port: int) -> None:
        self.folder, self.port = folder, port
        self.hits = folder / "failpoints.log"
        self._log = folder / "hub.log"
        self._argv = [
            *(sys.executable, "-P", "-m", "gateway.cli", "run"),
            *("--config", str(settings), "--data", str(folder / "data")),
        ]
        self._running: Process | None = None

    async def start(self, failpoint: str | None = None) -> None:
        """Starts it; returns when it is ready, or has died at its failpoint."""
        await self.spawn(failpoint)
        await eventually(self._ready_or_dead, 60)

    async def spawn(self, failpoint: str | None = None) -> None:
        """Starts it, and returns at once."""
        environment = {**os.environ, "CROSSPLANT_FAILPOINT_LOG": str(self.hits)}
        if failpoint:
            environment["CROSSPLANT_FAILPOINT"] = failpoint
        with self._log.open("ab") as log:
            self._running = await asyncio.create_subprocess_exec(
                *self._argv, stdin=DEVNULL, stdout=log, stderr=log, env=environment
            )

    async def _ready_or_dead(self) -> bool:
        if self.dead:
            return True
        try:
            return (await self.ask("GET", "/readyz"))[0] == 200
        except OSError:
            return False

    async def ask(
        self,
        method: str,
        path: str,
        *,
        key: str = "",
        body: object = None,
        content_type: str = "application/json",
    ) -> tuple[int, Any]:
        """(status, JSON answer) of a request. Raises OSError when nobody listens."""
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        data = None
        if body is not None:
            headers["Content-Type"], data = content_type, json.dumps(body).encode()
        async with (
            ClientSession(timeout=ClientTimeout(15)) as client,
            client.request(
                method, f"http://{LOOPBACK}:{self.port}{path}", headers=headers, data=data
            ) as answer,
        ):
            return answer.status, await answer.json(content_type=None)

    async def get(self, path: str, key: str = "") -> Any:
        """The JSON answer. AssertionError unless 200."""
        status, answer = await self.ask("GET", path, key=key)
        assert status == 200, (status, answer)
        return answer

    @property
    def pid(self) -> int:
        """Of the process that was started last."""
        assert self._running is not None
        return self._running.pid

    @property
    def dead(self) -> bool:
        """Whether the process has ended."""
        return self._running is None or self._running.returncode is not None

    async def kill9(self) -> None:
        """SIGKILL at this moment."""
        assert self._running is not None
        self._running.send_signal(signal.SIGKILL)
        await self._running.wait()

    async def end(self) -> None:
        """Makes sure that it is gone."""
        if not self.dead:
            await self.kill9()

    @property
    def code(self) -> int:
        """The exit code of the process that has ended."""
        assert self._running is not None
        assert self._running.returncode is not None
        return self._running.returncode

    async def stop(self) -> int:
        """SIGTERM, orderly."""
        if self._running is None or self.dead:
            return 0
        self._running.terminate()
        async with asyncio.timeout(30):
            return await self._running.wait()

    async def key(self) -> str:
        """A fresh key, made on the machine itself."""
        made = await asyncio.create_subprocess_exec(
            *(sys.executable, "-P", "-m", "gateway.cli", "keys", "create", "test", "--role", "admin"),
            *("--data", str(self.folder / "data"), "--json"),
            stdout=PIPE,
        )
        out, _ = await made.communicate()
        assert made.returncode == 0
        return str(json.loads(out)["key"])

    def log(self) -> str:
        """What it wrote, all runs."""
        return self._log.read_text(errors="replace")
