"""The company as a process of its own, started as the demo starts it."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

import aiohttp
import pytest

from tests.servers.process import Process

__all__ = ["Running", "StartCompany"]


class Running:
    """A started company: its ready line, and its control surface."""

    def __init__(self, process: Process, ready: dict[str, Any]) -> None:
        self.process, self.ready = process, ready
        self.env: dict[str, str] = ready["env"]

    async def tell(self, path: str, **body: Any) -> int:
        """POSTs to the control surface; the status."""
        async with aiohttp.ClientSession() as session, session.post(self._url(path), json=body) as response:
            return response.status

    async def ledger(self, wait_s: float = 0.0) -> dict[str, Any]:
        """The account."""
        url = self._url(f"/_ledger?wait_s={wait_s}")
        async with aiohttp.ClientSession() as session, session.get(url) as response:
            account: dict[str, Any] = await response.json()
            return account

    def _url(self, path: str) -> str:
        return f"{self.ready['control']}{path}"


class StartCompany(Protocol):
    """Starts a company with arguments for `python -m simulator`."""

    def __call__(self, *arguments: str) -> Running: ...


@pytest.fixture
def start_company(tmp_path: Path) -> Iterator[StartCompany]:
    """A function that starts the company; all of them are ended after the test."""
    started: list[Process] = []

    def start(*arguments: str) -> Running:
        out, log = tmp_path / f"out-{len(started)}", tmp_path / f"log-{len(started)}"
        argv = [sys.executable, "-W", "error", "-m", "simulator", *arguments]
        process = Process(argv=argv, out_path=out, log_path=log)
        started.append(process)
        process.start()

        def ready() -> dict[str, Any] | None:
            lines = out.read_text().splitlines(keepends=True)
            return json.loads(lines[0]) if lines and lines[0].endswith("\n") else None

        return Running(process, process.until(ready, "ready"))

    yield start
    for process in started:
        process.end()
