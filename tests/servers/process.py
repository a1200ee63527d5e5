"""A program that a test starts, watches and ends."""

import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

__all__ = ["Process"]

T = TypeVar("T")

START_TIMEOUT_S = 60.0
END_TIMEOUT_S = 10.0
PAUSE_S = 0.01


@dataclass(slots=True, kw_only=True)
class Process:
    """A program that a test started: its stdout and stderr are files, its end is by pid."""

    argv: Sequence[str]
    out_path: Path
    log_path: Path
    running: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """The pid; only while it has been started."""
        return self._popen().pid

    def start(self) -> None:
        """Starts the program; both files are appended to."""
        with self.out_path.open("ab") as out, self.log_path.open("ab") as log:
            self.running = subprocess.Popen(self.argv, stdin=subprocess.PIPE, stdout=out, stderr=log)

    def write(self, line: str) -> None:
        """Hands one line to the program's stdin."""
        stdin = self._popen().stdin
        assert stdin is not None
        stdin.write(line.encode() + b"\n")
        stdin.flush()

    def until(self, check: Callable[[], T | None], what: str, timeout_s: float = START_TIMEOUT_S) -> T:
        """The first result of `check` that is not None; AssertionError with the log's end otherwise."""
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            if (result := check()) is not None:
                return result
            if self._has_ended_within(PAUSE_S):
                raise AssertionError(f"{self._name} ended before it was {what}:\n{self._log_end()}")
        raise AssertionError(f"{self._name} was not {what} within {timeout_s} s:\n{self._log_end()}")

    def end(self) -> None:
        """SIGTERM, then SIGKILL if it stays; nothing when it has ended already."""
        if self.running is None:
            return
        self._signal(signal.SIGTERM)
        self._signal(signal.SIGCONT)
        if not self._has_ended_within(END_TIMEOUT_S):
            self._signal(signal.SIGKILL)
        self._reap()

    def kill9(self) -> None:
        """SIGKILL, and waits for the end."""
        self._signal(signal.SIGKILL)
        self._reap()

    def freeze(self) -> None:
        """SIGSTOP: connections stay open and nothing answers, as a hung peer does."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """SIGCONT, after `freeze`."""
        self._signal(signal.SIGCONT)

    @property
    def _name(self) -> str:
        return Path(self.argv[0]).name

    def _popen(self) -> subprocess.Popen[bytes]:
        if self.running is None:
            raise RuntimeError(f"{self._name} is not running")
        return self.running

    def _signal(self, number: signal.Signals) -> None:
        self._popen().send_signal(number)

    def _has_ended_within(self, timeout_s: float) -> bool:
        try:
            self._popen().wait(timeout_s)
        except subprocess.TimeoutExpired:
            return False
        return True

    def _reap(self) -> None:
        popen = self._popen()
        popen.wait(END_TIMEOUT_S)
        if popen.stdin is not None:
            popen.stdin.close()
        self.running = None

    def _log_end(self) -> str:
        return self.log_path.read_text(errors="replace")[-2000:]
