"""The console script as users call it, and a hub that a test may ask."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.servers import Process, free_port, give_back

__all__ = ["ARGV", "Done", "RunningHub", "crossplant", "hub"]

ARGV = (sys.executable, "-P", "-m", "gateway.cli")
TIMEOUT_S = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """A command that has ended."""

    code: int
    out: str
    err: str

    def json(self) -> Any:
        """Its stdout, which must be one JSON value."""
        return json.loads(self.out)


def crossplant(*arguments: str | Path, env: Mapping[str, str] | None = None, cwd: Path | None = None) -> Done:
    """Runs the command to its end; none of our variables is inherited."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("CROSSPLANT_")}
    ended = subprocess.run(
        [*ARGV, *(str(one) for one in arguments)],
        env={**inherited, **(env or {})},
        cwd=cwd,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )
    return Done(code=ended.returncode, out=ended.stdout, err=ended.stderr)


@dataclass(slots=True, kw_only=True)
class RunningHub:
    """A hub in a process of its own, and a key for it."""

    url: str
    data: Path
    process: Process
    key: str = ""
    env: dict[str, str] = field(default_factory=dict)

    def cli(self, *arguments: str | Path) -> Done:
        """A command that asks this hub with its key."""
        return crossplant(*arguments, env=self.env)

    @property
    def ready(self) -> bool | None:
        """True once it takes messages in, else None."""
        try:
            with urllib.request.urlopen(f"{self.url}/readyz", timeout=5) as answer:
                return answer.status == 200 or None
        except OSError:
            return None

    def log(self) -> str:
        """What it wrote to stderr."""
        return self.process.log_path.read_text(errors="replace")


@contextmanager
def hub(folder: Path, config: Path, port: int, key: str = "tests") -> Iterator[RunningHub]:
    """``crossplant run`` over this configuration, whose gateway has this port; ended with SIGTERM."""
    data = folder / "data"
    argv = [*ARGV, "run", "--config", str(config), "--data", str(data)]
    process = Process(argv=argv, out_path=folder / "hub.out", log_path=folder / "hub.log")
    running = RunningHub(url=f"http://127.0.0.1:{port}", data=data, process=process)
    process.start()
    try:
        process.until(lambda: running.ready, "ready")
        made = crossplant("keys", "create", key, "--role", "admin", "--data", data)
        assert made.code == 0, made.err
        running.key = made.out.strip()
        running.env = {"CROSSPLANT_URL": running.url, "CROSSPLANT_API_KEY": running.key}
        yield running
    finally:
        process.end()


@contextmanager
def leased_port() -> Iterator[int]:
    """A free port for as long as the context lasts."""
    port = free_port()
    try:
        yield port
    finally:
        give_back(port)
