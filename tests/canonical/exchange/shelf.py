"""A folder in memory whose clock and faults a test sets, and a hub whose outcomes a test chooses."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from adapters.conformance.hub import Hub
from canonical.errors import CrossplantError
from canonical.exchange.folder import Entry, Exists, Kind, NotFound
from canonical.ports import Inbound, Outcome
from canonical.spec import AdapterContext

__all__ = ["RecordingLog", "Shelf", "TellingHub", "acknowledge"]

Fault = Callable[[str, str], CrossplantError | None]


class Shelf:
    """Paths and their contents. ``fault(step, path)`` may give an error to raise before a step;
    ``after(step, path)`` is called when it is done."""

    def __init__(self) -> None:
        self.files: dict[str, tuple[bytes, int, Kind]] = {}
        self.clock_ns = 1_000_000_000
        self.fault: Fault = lambda step, path: None
        self.after: Callable[[str, str], None] = lambda step, path: None
        self.steps: list[tuple[str, str]] = []
        self.closed = False

    def put(self, path: str, content: bytes = b"content", kind: Kind = "file") -> None:
        """As a sender would write it, now."""
        self.clock_ns += 1_000_000
        self.files[path] = (content, self.clock_ns, kind)

    def names(self, folder: str = "") -> list[str]:
        """What lies in a folder, sorted."""
        prefix = f"{folder}/" if folder else ""
        rest = [path.removeprefix(prefix) for path in self.files if path.startswith(prefix)]
        return sorted(name for name in rest if "/" not in name)

    def content(self, path: str) -> bytes:
        """What was written there."""
        return self.files[path][0]

    async def entries(self) -> Sequence[Entry]:
        self._step("entries", "")
        return [entry for name in self.names() if (entry := self._entry(name)) is not None]

    async def stat(self, path: str) -> Entry | None:
        self._step("stat", path)
        return self._entry(path)

    async def read(self, path: str, limit_bytes: int) -> bytes:
        self._step("read", path)
        content = self._there(path)[0][: limit_bytes + 1]
        self.after("read", path)
        return content

    async def write(self, path: str, content: bytes) -> None:
        self._step("write", path)
        self.put(path, content)
        self.after("write", path)

    async def move(self, path: str, to: str, *, replace: bool = False) -> None:
        self._step("move", path)
        found = self._there(path)
        if to in self.files and not replace:
            raise Exists(f"{to} is there already")
        del self.files[path]
        self.files[to] = found
        self.after("move", path)

    async def remove(self, path: str) -> None:
        self._step("remove", path)
        self.files.pop(path, None)

    async def close(self) -> None:
        self.closed = True

    def _step(self, step: str, path: str) -> None:
        self.steps.append((step, path))
        if (error := self.fault(step, path)) is not None:
            raise error

    def _there(self, path: str) -> tuple[bytes, int, Kind]:
        if path not in self.files:
            raise NotFound(f"{path} is not there")
        return self.files[path]

    def _entry(self, path: str) -> Entry | None:
        if path not in self.files:
            return None
        content, mtime_ns, kind = self.files[path]
        return Entry(name=path.rpartition("/")[2], size_bytes=len(content), mtime_ns=mtime_ns, kind=kind)


class RecordingLog:
    """Keeps what is logged: (event, fields)."""

    def __init__(self) -> None:
        self.records: list[tuple[str, dict[str, Any]]] = []

    def debug(self, event: str, **fields: Any) -> None:
        """Not kept: it is for whoever looks for a fault."""

    def info(self, event: str, **fields: Any) -> None:
        self.records.append((event, fields))

    def warning(self, event: str, **fields: Any) -> None:
        self.records.append((event, fields))

    def error(self, event: str, **fields: Any) -> None:
        self.records.append((event, fields))

    def of(self, event: str) -> list[dict[str, Any]]:
        """The fields of each time that this was logged."""
        return [fields for logged, fields in self.records if logged == event]


class TellingHub(Hub):
    """The suite's hub with a log that can be read, and outcomes by message."""

    def __init__(self, data_dir: Path) -> None:
        self.log = RecordingLog()
        self.judge: Callable[[bytes], Outcome] = lambda body: Outcome(status="accepted")
        super().__init__(data_dir)

    def new_context(self) -> AdapterContext:
        context = super().new_context()
        context.log = self.log
        return context

    async def _take(self, source: Any, *, acknowledges: bool) -> None:
        async for inbound in source.receive():
            self.commit(inbound)
            if acknowledges:
                await acknowledge(inbound, self.judge)

    @property
    def bodies(self) -> list[bytes]:
        """What came in, in order, repeats included."""
        return [raw.body for raw in self.committed]

    @property
    def ids(self) -> list[str]:
        """The ids that it came in under."""
        return [raw.id for raw in self.committed]


async def acknowledge(inbound: Inbound, judge: Callable[[bytes], Outcome]) -> None:
    """As the hub does after its commit."""
    await inbound.ack([judge(raw.body) for raw in inbound.messages])
