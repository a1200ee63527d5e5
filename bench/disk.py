"""Disks of another speed: fsync made slower, or switched off, by a small library that is preloaded.

What "journal switched off" means here: the journal is written as always, and its fsync does nothing.
"""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path

from bench.program import output

__all__ = ["DELAYS_MS", "environment"]

DELAYS_MS = (0, 4, 15)
_SOURCE = Path(__file__).with_name("slowdisk.c")
_COMPILE_S = 60.0


async def environment(folder: Path, fsync: str) -> dict[str, str]:
    """What makes a program's fsync ``off``, or so many milliseconds slower.

    Raises RuntimeError where no C compiler is.
    """
    if fsync == "0":
        return {}
    library = folder / "slowdisk.so"
    if not await asyncio.to_thread(library.exists):
        compiler = shutil.which("cc")
        if compiler is None:
            raise RuntimeError("a C compiler is needed to slow the disk down: apt-get install gcc libc6-dev")
        argv = [compiler, "-O2", "-shared", "-fPIC", "-o", str(library), str(_SOURCE), "-ldl"]
        await output(argv, within_s=_COMPILE_S)
    return {"LD_PRELOAD": str(library), "BENCH_FSYNC": fsync}
