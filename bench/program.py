"""A program that is measured: started, watched, ended by its pid."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

__all__ = ["ROOT", "output", "python", "running"]

ROOT = Path(__file__).resolve().parent.parent
_END_S = 15.0


def python(module: str, *arguments: object) -> list[str]:
    """The command line of a module of ours."""
    return [sys.executable, "-m", module, *map(str, arguments)]


@asynccontextmanager
async def running(
    argv: Sequence[str], log: Path, *, environment: Mapping[str, str] | None = None, group: bool = True
) -> AsyncIterator[Process]:
    """The program while the context lasts, then SIGTERM; its output goes to ``log``."""
    with log.open("ab") as out:
        process = await asyncio.create_subprocess_exec(
            *argv,
            stdin=DEVNULL,
            stdout=out,
            stderr=out,
            cwd=ROOT,
            env={**os.environ, **(environment or {})},
        )
    try:
        yield process
    finally:
        await _end(process)


async def _end(process: Process) -> None:
    if process.returncode is not None:
        return
    process.send_signal(signal.SIGTERM)
    try:
        async with asyncio.timeout(_END_S):
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()


async def output(
    argv: Sequence[str], *, within_s: float, environment: Mapping[str, str] | None = None
) -> str:
    """What a program prints, once it has ended well. Raises RuntimeError with its errors otherwise."""
    process = await asyncio.create_subprocess_exec(
        *argv, stdin=DEVNULL, stdout=PIPE, stderr=PIPE, cwd=ROOT, env={**os.environ, **(environment or {})}
    )
    try:
        async with asyncio.timeout(within_s):
            out, errors = await process.communicate()
    finally:
        await _end(process)
    if process.returncode != 0:
        raise RuntimeError(
            f"{argv[0]} ended with {process.returncode}: {errors.decode(errors='replace')[-2000:]}"
        )
    return out.decode()
