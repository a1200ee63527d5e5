"""The simulated company as the demo handles it: a process of its own, steered over loopback HTTP."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
import tempfile
from asyncio.subprocess import PIPE, Process
from collections.abc import Sequence
from typing import Any, Final

import aiohttp

from canonical.errors import CrossplantError

__all__ = ["DROP_ONE", "Company", "CompanyError"]

DROP_ONE: Final = "CROSSPLANT_DEMO_DROP_ONE"
"""Set to 1, the company books one measurement as safe that it never sends: the demo must see it lost."""
_START_S: Final = 60.0
_ANSWER_S: Final = 60.0
_END_S: Final = 15.0
_ENDING_S: Final = 1.0
_LINE_BYTES: Final = 1 << 20


class CompanyError(CrossplantError):
    """The simulated company did not start, answer or end as it should."""

    code = "simulator"


class Company:
    """Started by ``open``. It never outlives this process: it ends with its standard input."""

    def __init__(self, arguments: Sequence[str] = ()) -> None:
        self._arguments = [*arguments, *(["--drop-one"] if os.environ.get(DROP_ONE) == "1" else [])]
        self._process: Process | None = None
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._session: aiohttp.ClientSession | None = None
        self._control = ""
        self.environment: dict[str, str] = {}

    async def open(self) -> None:
        """Starts it; ``environment`` then holds what the demo's deployment refers to. Raises CompanyError."""
        self._folder = tempfile.TemporaryDirectory(prefix="crossplant-demo-", ignore_cleanup_errors=True)
        self._process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-P",  # a folder of that name where the command is given is not meant
            "-m",
            "simulator",
            "--with-stdin",
            "--folder",  # ours to remove, even when it is killed
            self._folder.name,
            *self._arguments,
            stdin=PIPE,
            stdout=PIPE,
            limit=_LINE_BYTES,
            start_new_session=True,  # Ctrl-C is for us; we end it when all is settled
        )
        ready = await self._ready(self._process)
        self._control = str(ready["control"])
        self.environment = {str(name): str(value) for name, value in ready["env"].items()}
        self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=_ANSWER_S))

    async def _ready(self, process: Process) -> dict[str, Any]:
        assert process.stdout is not None
        try:
            async with asyncio.timeout(_START_S):
                line = await process.stdout.readline()
        except TimeoutError as error:
            raise CompanyError(f"the simulated company did not start within {_START_S:g} s") from error
        if not line:
            raise CompanyError(f"the simulated company ended at its start with code {await process.wait()}")
        ready: dict[str, Any] = json.loads(line)
        return ready

    async def ended(self) -> int:
        """Returns its exit code when it ends, by itself or by ``close``."""
        assert self._process is not None
        return await self._process.wait()

    async def begin(self, url: str, key: str) -> None:
        """Tells it where the hub is, and lets it produce. Raises CompanyError."""
        await self._ask("POST", "/_control/hub", {"url": url, "key": key})

    async def stop_producing(self) -> None:
        """Returns when nothing more comes from it. Raises CompanyError."""
        await self._ask("POST", "/_control/stop-producing")

    async def account(self, wait_s: float) -> dict[str, Any]:
        """Its ledger, once settled, or as far as it is after ``wait_s`` seconds. Raises CompanyError."""
        return await self._ask("GET", f"/_ledger?wait_s={wait_s:g}")

    async def _ask(self, method: str, path: str, body: Any = None) -> dict[str, Any]:
        assert self._session is not None
        try:
            async with self._session.request(method, self._control + path, json=body) as answer:
                if answer.status != 200:
                    raise CompanyError(
                        f"the simulated company answered {answer.status}: {await answer.text()}"
                    )
                found: dict[str, Any] = await answer.json()
                return found
        except (aiohttp.ClientError, TimeoutError, ValueError) as error:
            raise await self._silent(path, error) from error

    async def _silent(self, path: str, error: Exception) -> CompanyError:
        """What to say of a company that does not answer: it may have ended."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_ENDING_S):
                return CompanyError(f"the simulated company ended by itself with code {await self.ended()}")
        return CompanyError(f"the simulated company does not answer ({path}): {error!r}")

    async def close(self) -> int | None:
        """Ends it: by its standard input, by SIGTERM, at last by force; returns its exit code."""
        if self._session is not None:
            await self._session.close()
        process = self._process
        if process is None:
            return None
        assert process.stdin is not None
        process.stdin.close()
        try:
            return await self._end(process)
        finally:
            if self._folder is not None:
                self._folder.cleanup()

    async def _end(self, process: Process) -> int:
        for number in (signal.SIGTERM, signal.SIGKILL):
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_END_S):
                    return await process.wait()
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(number)
        return await process.wait()
