"""What is worth a line in the log about files that stay where they are: once per file and reason."""

from __future__ import annotations

from canonical.exchange.readiness import Choice
from canonical.spec import Log

__all__ = ["Watchlist"]

_LONG_S = 600.0
_MOST = 10_000


class Watchlist:
    """Remembers what was said, so that every look does not say it again."""

    def __init__(self, adapter: str, log: Log) -> None:
        self._adapter, self._log = adapter, log
        self._told: dict[str, str] = {}

    def report(self, choice: Choice, now_s: float) -> None:
        """Names that are never taken, and files that have not become ready for ten minutes."""
        for name, why in choice.refused:
            self.tell("file_never_taken", name, why)
        for waiting in choice.waiting:
            if now_s - waiting.since_s >= _LONG_S:
                self.tell("file_waits", waiting.entry.name, waiting.why)

    def tell(self, event: str, name: str, why: str) -> None:
        """Logs a warning, unless the same was said of the same file just before."""
        if self._told.get(name) == f"{event}:{why}":
            return
        if len(self._told) >= _MOST:
            self._told.clear()
        self._told[name] = f"{event}:{why}"
        self._log.warning(event, adapter=self._adapter, file=ascii(name)[1:-1], reason=why)

    def forget(self, name: str) -> None:
        """The file got on."""
        self._told.pop(name, None)
