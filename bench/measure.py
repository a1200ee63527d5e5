"""What one run costs: a figure, CPU seconds of a process and its children, and its largest memory."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from pathlib import Path

from msgspec import Struct

__all__ = ["Meter", "Sample", "family", "peak_rss_mb", "per_100k"]

_TICKS = os.sysconf("SC_CLK_TCK")
_PROC = Path("/proc")


class Sample(Struct, frozen=True, kw_only=True):
    """One run of one contestant. ``value`` is in the bench's unit; ``more`` has what else was seen."""

    value: float
    cpu_s_per_100k: float | None = None
    rss_mb: float | None = None
    more: dict[str, float] = {}


class Meter:
    """Wall clock and CPU time of processes, since it was made. CPU time counts user and system."""

    def __init__(self, pids: Iterable[int]) -> None:
        self._pids = family(pids)
        self._cpu_s = _cpu_s(self._pids)
        self._started_s = time.perf_counter()

    @property
    def wall_s(self) -> float:
        return time.perf_counter() - self._started_s

    def read(self) -> tuple[float, float, float]:
        """(seconds passed, CPU seconds used, largest resident memory so far in MB)."""
        wall_s = self.wall_s
        return wall_s, _cpu_s(self._pids) - self._cpu_s, peak_rss_mb(self._pids)


def per_100k(cpu_s: float, events: int) -> float:
    """CPU seconds for each 100,000 events."""
    return cpu_s / events * 100_000


def family(pids: Iterable[int]) -> list[int]:
    """The processes and all their descendants."""
    found, waiting = [], list(pids)
    while waiting:
        pid = waiting.pop()
        found.append(pid)
        for task in (_PROC / str(pid) / "task").glob("*/children"):
            waiting += [int(child) for child in task.read_text().split()]
    return found


def peak_rss_mb(pids: Iterable[int]) -> float:
    """The sum of their resident memory's high-water marks."""
    total_kb = 0
    for pid in pids:
        for line in (_PROC / str(pid) / "status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                total_kb += int(line.split()[1])
    return total_kb / 1024


def _cpu_s(pids: Iterable[int]) -> float:
    ticks = 0
    for pid in pids:
        # The name, in parentheses, may hold blanks; utime and stime are fields 14 and 15 (proc(5)).
        fields = (_PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / _TICKS
