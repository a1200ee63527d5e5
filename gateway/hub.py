"""The hub as the API sees it: exactly what it needs of ``gateway.runtime.Hub``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol

from canonical.ports import Outcome, RawMessage
from canonical.spec import Health, Log
from config.crosswalks import CrosswalkRow
from config.guarantees import Guarantee
from config.model import AdapterConfig, Deployment
from deadletter.bulk import Bulk
from deadletter.dryrun import DryRun
from deadletter.edits import Edits
from deadletter.service import DeadLetters
from gateway.audit import Audit
from gateway.crosswalks.importing import Diff, Refuse
from gateway.exceptions import Exceptions
from gateway.keys import Keys
from gateway.metrics import Metrics
from gateway.projections.search import Search
from gateway.projections.services.projection import Services
from gateway.reloading import Reloading
from gateway.replay.service import Replays
from router.crosswalk import Crosswalk, Row
from router.crosswalk_history import Step
from router.engine import Engine
from router.enrichment import ReadModels
from router.journal import Message
from router.journal.sqlite import SQLiteJournal

__all__ = ["Adapter", "Backlog", "Crosswalks", "Hub", "Ingest"]


class Adapter(Protocol):
    """One running adapter; ``source`` is None where it takes nothing in."""

    @property
    def name(self) -> str: ...
    @property
    def config(self) -> AdapterConfig: ...
    @property
    def plant(self) -> str | None: ...
    @property
    def source_id(self) -> str: ...
    @property
    def health(self) -> Health: ...
    @property
    def source(self) -> Any | None: ...
    @property
    def sink(self) -> Any | None: ...


class Backlog(Protocol):
    """What waits on one route for one plant (``-``: none)."""

    @property
    def plant(self) -> str: ...
    @property
    def route(self) -> str: ...
    @property
    def events(self) -> int: ...
    @property
    def oldest_at(self) -> datetime | None: ...


class Ingest(Protocol):
    """The way in."""

    async def submit(self, name: str, raws: Sequence[RawMessage]) -> Sequence[Outcome]:
        """Decodes and records. Raises LookupError, StorageError."""
        ...

    async def record(self, name: str, messages: Sequence[Message]) -> Sequence[Outcome]:
        """Records what is decoded already. Raises StorageError."""
        ...


class Crosswalks(Protocol):
    """Code tables as people keep them."""

    @property
    def current(self) -> Crosswalk:
        """The approved rows of this moment."""
        ...

    async def list(self, **filters: str) -> Sequence[Row]: ...

    async def add(self, row: Row, *, by: str, why: str = "") -> tuple[Row, int]:
        """The row as kept, and how many lanes it let go. Raises NotSteward, Overlap."""
        ...

    async def find(self, identifier: int) -> Row: ...

    async def history(self, identifier: int) -> Sequence[Step]: ...

    async def approve(self, identifier: int, *, by: str, why: str = "") -> tuple[Row, int]:
        """Likewise, of a draft. Raises LookupError, NotSteward, NotPossible, Overlap."""
        ...

    async def retire(
        self, identifier: int, *, by: str, why: str = "", at: float | None = None, never: bool = False
    ) -> Row:
        """Ends it. Raises LookupError, NotSteward, NotPossible."""
        ...

    async def refuse(self, domain: str, *, by: str, act: str, why: str) -> None:
        """Writes an attempt that was refused into the audit."""
        ...

    async def compare(self, wanted: Sequence[CrosswalkRow], *, by: str, refuse: Refuse) -> Diff: ...

    async def take(
        self, wanted: Sequence[CrosswalkRow], *, by: str, expected: str, why: str, refuse: Refuse
    ) -> tuple[Diff, int]:
        """Applies what was shown. Raises NotPossible."""
        ...


class Hub(Protocol):
    """A running deployment."""

    @property
    def deployment(self) -> Deployment: ...
    @property
    def data_dir(self) -> Path: ...
    @property
    def log(self) -> Log: ...
    @property
    def started_at(self) -> datetime: ...
    @property
    def ready(self) -> bool: ...
    @property
    def journal(self) -> SQLiteJournal: ...
    @property
    def ingest(self) -> Ingest: ...
    @property
    def adapters(self) -> Mapping[str, Adapter]: ...
    @property
    def engines(self) -> Mapping[str, Engine]: ...
    @property
    def guarantees(self) -> Mapping[str, Guarantee]: ...
    @property
    def dead_letters(self) -> DeadLetters: ...
    @property
    def retries(self) -> Bulk: ...
    @property
    def dry_run(self) -> DryRun: ...
    @property
    def exceptions(self) -> Exceptions: ...
    @property
    def edits(self) -> Edits: ...
    @property
    def crosswalks(self) -> Crosswalks: ...
    @property
    def audit(self) -> Audit: ...
    @property
    def keys(self) -> Keys: ...
    @property
    def search(self) -> Search: ...
    @property
    def services(self) -> Services: ...
    @property
    def models(self) -> ReadModels: ...
    @property
    def metrics(self) -> Metrics: ...
    @property
    def replays(self) -> Replays: ...
    @property
    def configuration(self) -> Reloading: ...

    def clock(self) -> datetime: ...

    async def backlog(self) -> Sequence[Backlog]: ...

    async def forget_route(self, name: str, *, by: str) -> None:
        """Gives up the place of a route that is configured no more. Audited. Raises LookupError."""
        ...

    async def lanes_release(self, route: str, key: str, *, by: str, reason: str = "") -> int:
        """Lets a blocked key try again; how many wait there. Audited. Raises LookupError."""
        ...
