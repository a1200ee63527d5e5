"""The ports between packages: what adapters provide, and what the hub provides to them.

The way in is ``Source → RawMessage → Decoder → Event``, the way out
``payload → Formatter → Delivery → Sink → report``. Everything here is data or a Protocol.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Literal, Protocol, TypeVar, runtime_checkable

from msgspec import Struct, field

from canonical.errors import CrossplantError, Invalid
from canonical.event import Event
from canonical.ledger import Control, FileEntry, InterchangeEntry

__all__ = [
    "Accepted",
    "Attribute",
    "BulkDecoder",
    "BulkFormatter",
    "Decoder",
    "Delivery",
    "Failed",
    "Formatter",
    "Inbound",
    "InterchangeFormatter",
    "LedgerDecoder",
    "Lookup",
    "NotTried",
    "Outcome",
    "RawMessage",
    "Recorded",
    "Redeliver",
    "Sink",
    "SinkOutcome",
    "Source",
    "Store",
    "Transaction",
    "Unknown",
    "Webhook",
]

T = TypeVar("T")
Attribute = str | int | float | bool
"""A value that a transport knows beside the body: topic, header, node, row number."""


# ── the way in ──────────────────────────────────────────────────────────────────────────────────


class RawMessage(Struct, frozen=True, kw_only=True, gc=False):  # it holds nothing that could form a cycle
    """The bytes as the source sent them, with what the transport knew about them.

    ``id`` is unique per adapter and becomes the events' ``srcmsgid``; a source that can see the
    same message twice gives it the same id both times. ``received_at`` is UTC. ``attributes``
    carry the transport's own terms (``topic``, ``mid``, ``header.x-request-id``); expressions in
    the configuration see them as ``message``.
    """

    adapter: str
    id: str
    body: bytes
    received_at: datetime
    content_type: str = ""
    attributes: dict[str, Attribute] = field(default_factory=dict)


class Outcome(Struct, frozen=True, kw_only=True, gc=False):
    """What became of one raw message, known once the commit is durable.

    ``accepted``: at least one new event. ``duplicate``: seen before with the same payload.
    ``conflict``: seen before with another payload, now a dead letter. ``invalid``: nothing of it could
    be taken, now a dead letter; that it was refused may be an event of its own. ``ignored``: the format
    or mapping wants nothing of it (recorded as a count). ``positions`` are those of its events in decoding
    order; a duplicate has its first one's.
    """

    status: Literal["accepted", "duplicate", "conflict", "invalid", "ignored"]
    positions: tuple[int, ...] = ()
    errors: tuple[tuple[str, str], ...] = ()
    dead_letter: int | None = None


class Inbound(Struct, frozen=True, kw_only=True):
    """A batch of messages with its own acknowledgement.

    ``ack`` is called once, in order of the batches of one source, after the commit, with one
    outcome per message. It must be a no-op when the connection that brought the batch is gone.
    ``state`` replaces the source's durable state in the same commit; None leaves it. ``files`` are the
    pick-ups of the messages, one each, from a source of files; the hub takes each of them in once.
    """

    messages: Sequence[RawMessage]
    ack: Callable[[Sequence[Outcome]], Awaitable[None]]
    state: bytes | None = None
    files: Sequence[FileEntry] = ()


class Source(Protocol):
    """Takes messages in over one transport. Owns its reconnection; never acknowledges by itself."""

    async def open(self) -> None:
        """Starts. Returns at once when the peer is away (the source then keeps trying);
        raises ConfigError for what no retry can mend."""
        ...

    def receive(self) -> AsyncIterator[Inbound]:
        """Yields batches until ``close``; each is acknowledged before or after the next is taken."""
        ...

    async def close(self) -> None:
        """Ends the connection; safe to call twice. What was not acknowledged is not."""
        ...


class Webhook(Protocol):
    """A source that is called over HTTP: the gateway owns the server, and submits what is accepted."""

    def accept(self, headers: Mapping[str, str], query: Mapping[str, str], body: bytes) -> RawMessage:
        """The message of a request whose sender proved itself.

        Raises Unauthorized (401), or Invalid with the code ``too_large`` (413), ``content_type``
        (415) or another (400). Their messages are safe to show to the sender.
        """
        ...


class Decoder(Protocol):
    """Turns one raw message into canonical events, or says what is wrong with it."""

    def decode(self, state: bytes | None, raw: RawMessage) -> tuple[bytes | None, Iterable[Event | Invalid]]:
        """Returns (new state, events and faults in source order). Pure; must not raise for any input.

        A stateless decoder returns the state that it was given.
        """
        ...


class BulkDecoder(Decoder, Protocol):
    """A decoder that keeps no state and reads many alike messages for less than each of them."""

    def decode_all(self, raws: Sequence[RawMessage]) -> list[Event] | None:
        """The events of the messages, one of each, with complete envelopes (``recordedtime`` and ``srcmsgid``
        are those of the message); None: ask ``decode`` for each."""
        ...


class LedgerDecoder(Decoder, Protocol):
    """A decoder of interchanges, which are taken in once for good."""

    def decode_entries(
        self, state: bytes | None, raw: RawMessage
    ) -> tuple[bytes | None, Iterable[Event | Invalid | InterchangeEntry]]:
        """``decode`` with each interchange's entry before its events. The hub calls this one."""
        ...


# ── the way out ─────────────────────────────────────────────────────────────────────────────────


class Formatter(Protocol):
    """The mirror of a decoder: a mapped payload (JSON-like value) to the bytes that a sink sends."""

    content_type: str

    def format(self, payload: Any) -> bytes:
        """Raises Invalid when the payload has no form in this format."""
        ...


@runtime_checkable
class BulkFormatter(Formatter, Protocol):
    """A formatter that writes many payloads for less than each of them."""

    def format_all(self, payloads: Sequence[Any]) -> list[bytes]:
        """``format`` of each. Raises Invalid when one has no form in this format."""
        ...


@runtime_checkable
class InterchangeFormatter(Formatter, Protocol):
    """A formatter of interchanges, whose control references the hub allocates."""

    def control(self, payload: Any) -> Control:
        """What its envelope is numbered by. Raises Invalid like ``format``."""
        ...

    def interchange(self, payload: Any, reference: str, prepared_at: datetime) -> bytes:
        """``format`` under this reference; the same bytes whenever it is called with the same."""
        ...


class Recorded(Struct, frozen=True, gc=False):
    """An event at its place in the journal. Positions grow in time and are never reused."""

    position: int
    event: Event


class Delivery(Struct, frozen=True, kw_only=True):
    """One payload for one sink. ``idempotency_key`` stays the same over all attempts and restarts;
    ``attempt`` counts from 1; ``target`` holds the sink's own options of this route, expanded."""

    event: Event
    payload: bytes
    content_type: str
    key: str
    idempotency_key: str
    attempt: int = 1
    target: dict[str, Any] = field(default_factory=dict)


class Accepted(Struct, frozen=True):
    """The sink has it for good. ``receipt``: the peer's own id for it, when it gives one."""

    receipt: str = ""


class Failed(Struct, frozen=True):
    """The sink does not have it."""

    error: CrossplantError


class Unknown(Struct, frozen=True):
    """Sent, but no answer came: the sink may have it. Looked up before it is sent again."""

    error: CrossplantError


class NotTried(Struct, frozen=True):
    """Not sent, because an earlier delivery of the same call failed."""


SinkOutcome = Accepted | Failed | Unknown | NotTried


class Sink(Protocol):
    """Delivers over one transport. Failures are values in the report, not exceptions."""

    async def open(self) -> None: ...

    async def send(self, deliveries: Sequence[Delivery]) -> Sequence[SinkOutcome]:
        """Returns one outcome per delivery, in order; a missing one counts as Unknown.

        One call has at most one delivery per key, unless the kind declares ``ordered``.
        """
        ...

    async def close(self) -> None: ...


class Lookup(Protocol):
    """A sink that can be asked whether an earlier attempt arrived (kind declares ``lookup``)."""

    async def lookup(self, delivery: Delivery) -> Accepted | Failed | None:
        """Accepted when the peer has it, None when it surely has not, Failed when that can't be said."""
        ...


# ── what the hub keeps ──────────────────────────────────────────────────────────────────────────


class Transaction(Protocol):
    """Statements inside one transaction. Rows are tuples; parameters are positional (``?``)."""

    def execute(self, sql: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]: ...


class Store(Protocol):
    """The small durable things beside the journal, kept in the same transactions as it."""

    async def write(self, work: Callable[[Transaction], T]) -> T:
        """Runs ``work`` in the journal writer's next transaction; returns after the commit.

        When ``work`` raises, its own statements are undone and the exception is raised here.
        ``work`` runs in the writer's thread: no I/O, no awaiting, milliseconds at most.
        """
        ...

    async def read(self, work: Callable[[Transaction], T]) -> T:
        """Runs ``work`` on a consistent snapshot of what is committed; writes raise."""
        ...


class Redeliver(Protocol):
    """How dead letters and lanes get out again, without knowing the router."""

    async def message(self, raw: RawMessage) -> Outcome:
        """Takes a raw message in again through its adapter's present decoder."""
        ...

    async def release(self, route: str, key: str) -> int:
        """Delivers what waits in the lane of ``key`` on ``route``, oldest first; returns how many.

        Raises LookupError when no such route runs.
        """
        ...

    async def discard(self, route: str, key: str, position: int) -> None:
        """Takes one delivery out of its lane for good; what waited behind it is delivered."""
        ...
