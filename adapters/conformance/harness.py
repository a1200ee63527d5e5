"""What the author of an adapter writes, so that the suite can drive the adapter's protocol.

The suite puts a fault proxy between the adapter and the real server: ``start_server`` says where
the server listens, ``make_source`` and ``make_sink`` are told where to connect instead.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from canonical.ports import Delivery, RawMessage, Sink, Source
from canonical.spec import AdapterContext, Guarantees, SinkTraits

__all__ = ["SinkHarness", "SourceHarness"]


class SourceHarness(Protocol):
    """Drives one kind of source against its real peer on loopback. One harness per case, then thrown away."""

    @property
    def guarantees(self) -> Guarantees:
        """What the kind's spec declares; cases about what it does not declare pass at once."""
        ...

    @property
    def patience_s(self) -> float:
        """How long the suite waits for what must happen, also for recovery after a fault has healed.

        Configure the source with short keep-alives and back-offs, and make this a few of them.
        """
        ...

    async def start_server(self) -> tuple[str, int]:
        """Starts the peer and returns its (host, port); again the same address, with what it had kept."""
        ...

    async def stop_server(self) -> None:
        """Ends the peer, as abruptly as it can while keeping what its protocol keeps."""
        ...

    def make_source(self, context: AdapterContext, host: str, port: int) -> Source:
        """A source, not opened, whose server is at (host, port); each call as after a restart of the hub.

        It must be the same to the peer each time: same client id, same session, same subscription.
        """
        ...

    async def publish(self, count: int, size_bytes: int = 0) -> Sequence[str]:
        """Has the peer send ``count`` new messages and returns a mark for each, unique, in sending order.

        Where the protocol limits what is on its way unacknowledged, let it be 20 messages at least.
        Called when the source is connected, or was so before. Where the protocol can, ``size_bytes``
        pads each message. May return before the source could have them.
        """
        ...

    def mark(self, raw: RawMessage) -> str | None:
        """The mark of a message that came in; None for one that ``publish`` did not send (first values)."""
        ...


class SinkHarness(Protocol):
    """Drives one kind of sink against its real peer on loopback. One harness per case, then thrown away."""

    @property
    def traits(self) -> SinkTraits:
        """What the kind's spec declares."""
        ...

    @property
    def patience_s(self) -> float:
        """How long the suite waits for one ``send``, and for recovery after a fault has healed.

        Configure the sink with time-outs well below it.
        """
        ...

    async def start_server(self) -> tuple[str, int]:
        """Starts the peer and returns its (host, port); again the same address, with what it had kept."""
        ...

    async def stop_server(self) -> None:
        """Ends the peer, as abruptly as it can while keeping what its protocol keeps."""
        ...

    def make_sink(self, context: AdapterContext, host: str, port: int) -> Sink:
        """A sink, not opened, whose server is at (host, port)."""
        ...

    def delivery(self, number: int, *, poison: bool = False) -> Delivery | None:
        """A delivery with an idempotency key and a key of its own, unique by ``number``.

        ``poison``: one that the peer refuses for what is in it; None where no such thing exists.
        """
        ...

    async def received(self) -> Sequence[str]:
        """The idempotency keys that the peer has, in order of arrival, by another way than the sink.

        A key may occur more than once.
        """
        ...
