"""What an adapter or a format says of itself, and how both are found.

Third parties ship adapters as packages with an entry point in ``crossplant.adapters`` or
``crossplant.formats``. Looking one up imports its folder's ``__init__`` only: client libraries
are imported when a source or sink is built.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from datetime import UTC, datetime, timedelta
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol
from zoneinfo import ZoneInfo

from msgspec import Struct, field
from pydantic import BaseModel

from canonical.errors import ConfigError
from canonical.ports import Decoder, Formatter, RawMessage, Sink, Source

if TYPE_CHECKING:
    from canonical.probing import Step

__all__ = [
    "ADAPTERS",
    "FORMATS",
    "AdapterContext",
    "AdapterSpec",
    "FormatContext",
    "FormatSpec",
    "Guarantees",
    "Health",
    "Log",
    "SinkTraits",
    "adapter_spec",
    "format_spec",
    "installed",
]

ADAPTERS = "crossplant.adapters"
FORMATS = "crossplant.formats"


class Log(Protocol):
    """A structured logger: an event name in snake case, then fields. Never a secret, never a payload."""

    def debug(self, event: str, **fields: Any) -> Any: ...
    def info(self, event: str, **fields: Any) -> Any: ...
    def warning(self, event: str, **fields: Any) -> Any: ...
    def error(self, event: str, **fields: Any) -> Any: ...


class Guarantees(Struct, frozen=True, kw_only=True):
    """What a source's protocol can do; the conformance suite asserts what is declared.

    ``redelivers``: what was not acknowledged comes again. ``back_pressure``: it waits when we are
    slow. ``stable_ids``: the same message has the same id when it comes again. ``gaps``: what may be missing
    all the same, in words; such a gap is written down. ``while_``: what it
    rests on beside, in words. Options that make a difference have a property
    ``guarantees`` of their own.
    """

    redelivers: bool = False
    back_pressure: bool = False
    stable_ids: bool = False
    gaps: str = ""
    while_: str = ""


class SinkTraits(Struct, frozen=True, kw_only=True):
    """How a sink wants to be fed.

    ``ordered``: one call may hold several deliveries of one key, sent in order. ``max_batch``:
    deliveries per call. ``concurrency``: calls at the same time, never two with one key. ``ahead``: so
    many calls of an ordered sink at the same time, for routes that promise no order.
    ``lookup``: implements ``Lookup``; options that decide that have a property ``looks_up``. ``forgets``:
    what a look-up does not find although it arrived, in words. ``batches``: a payload may be several JSON
    documents, so that routes may set ``batch``.
    """

    ordered: bool = False
    max_batch: int = 1
    concurrency: int = 1
    ahead: int = 1
    lookup: bool = False
    forgets: str = ""
    batches: bool = False


class Health:
    """Three facts that are not the same: connected, data flowing, and when the last good value came."""

    __slots__ = ("connected", "detail", "fresh_within_s", "last_good_at")

    def __init__(self) -> None:
        self.connected = False
        self.detail = "not started"
        self.last_good_at: datetime | None = None
        self.fresh_within_s: float | None = None
        """Data older than this is not flowing; None: the source has no rhythm, connected is enough."""

    def flowing(self, now: datetime) -> bool:
        """Whether data comes as often as it should."""
        if not self.connected:
            return False
        if self.fresh_within_s is None:
            return True
        return self.last_good_at is not None and now - self.last_good_at <= timedelta(
            seconds=self.fresh_within_s
        )


async def _no_history(limit: int) -> Sequence[RawMessage]:
    return ()


class AdapterContext(Struct, kw_only=True):
    """What an adapter gets from the hub beside its own options.

    ``source`` is the CloudEvents source of its events. ``state`` is what its last committed
    ``Inbound.state`` was. ``history(limit)`` gives its newest committed raw messages, oldest first.
    ``data_dir`` is its own folder (trust lists, spools).
    """

    name: str
    source: str
    plant: str | None
    partner: str | None
    timezone: ZoneInfo
    data_dir: Path
    log: Log
    health: Health = field(default_factory=Health)
    state: bytes | None = None
    history: Callable[[int], Awaitable[Sequence[RawMessage]]] = _no_history
    clock: Callable[[], datetime] = lambda: datetime.now(UTC)


class FormatContext(Struct, kw_only=True):
    """What a format gets: whose messages it reads (see ``AdapterContext``)."""

    adapter: str
    source: str
    plant: str | None
    partner: str | None
    timezone: ZoneInfo


class AdapterSpec(Struct, frozen=True, kw_only=True):
    """One kind of adapter.

    ``config`` describes its options, in an adapter's mapping beside the common ones; ``target``
    those that a route may set for its deliveries (text in it is a template). A factory is None
    where the kind has no such side; ``decoder`` is for kinds whose messages have one meaning
    (OPC UA), all others take a format. ``example`` is YAML that ``crossplant adapters KIND`` shows.
    ``emits``: the event types that ``decoder`` makes, as in a route's ``on``; none: not known.
    ``probe`` gives the steps of a connection test, those of ``canonical.probing``; None: its source, or its
    sink, is opened.
    """

    kind: str
    summary: str
    config: type[BaseModel]
    source: Callable[[Any, AdapterContext], Source] | None = None
    sink: Callable[[Any, AdapterContext], Sink] | None = None
    decoder: Callable[[Any, AdapterContext], Decoder] | None = None
    target: type[BaseModel] | None = None
    guarantees: Guarantees = Guarantees()
    traits: SinkTraits = SinkTraits()
    emits: tuple[str, ...] = ()
    example: str = ""
    probe: Callable[[Any, AdapterContext], AsyncIterator[Step]] | None = None


class FormatSpec(Struct, frozen=True, kw_only=True):
    """One format that any transport may name. ``emits``: the event types that it makes without rules."""

    kind: str
    summary: str
    config: type[BaseModel]
    decoder: Callable[[Any, FormatContext], Decoder] | None = None
    formatter: Callable[[Any], Formatter] | None = None
    emits: tuple[str, ...] = ()
    ledger: bool = False
    """Its interchanges are taken in once for good, whatever ids their messages have."""
    example: str = ""


@cache
def _entries(group: str) -> tuple[EntryPoint, ...]:
    """What is installed does not change while we run, and looking costs 6 ms."""
    return tuple(entry_points(group=group))


def installed(group: str) -> list[str]:
    """The kinds installed in ``group``, sorted."""
    return sorted({entry.name for entry in _entries(group)})


def _load(group: str, kind: str, what: str) -> Any:
    found = [entry for entry in _entries(group) if entry.name == kind]
    if not found:
        raise ConfigError(
            f"unknown {what} {kind!r}; installed: {', '.join(installed(group)) or 'none'}", key="kind"
        )
    if len(found) > 1:
        raise ConfigError(
            f"{what} {kind!r} is provided by several packages: {[e.value for e in found]}", key="kind"
        )
    return found[0].load()


def adapter_spec(kind: str) -> AdapterSpec:
    """The adapter kind's spec. Raises ConfigError when none, or more than one, is installed."""
    spec: AdapterSpec = _load(ADAPTERS, kind, "adapter kind")
    return spec


def format_spec(kind: str) -> FormatSpec:
    """The format's spec. Raises ConfigError when none, or more than one, is installed."""
    spec: FormatSpec = _load(FORMATS, kind, "format")
    return spec
