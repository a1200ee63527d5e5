"""One connection to the broker with one channel: built, watched, ended; never healed.

Whatever ends it, the broker, the network, a channel error, or silence, ``ended`` says why. Who owns it
builds a new one. aio-pika's robust connections are not used: they restore themselves in the background,
and acknowledgements would reach channels that do not know them.
"""

from __future__ import annotations

import asyncio
import math
import ssl
from collections.abc import Coroutine, Sequence
from typing import Any, TypeVar

import aio_pika
from aiormq import Channel
from aiormq.abc import ChannelFrame
from yarl import URL

from adapters.amqp.config import AmqpOptions
from adapters.amqp.confirms import Confirms, Flight
from adapters.amqp.dial import Line
from adapters.amqp.faults import bounded, channel_fault, connect_fault, lost
from canonical.errors import CrossplantError
from canonical.spec import Log

__all__ = ["LARGEST_FRAME_BYTES", "Connection", "connect"]

T = TypeVar("T")
SILENCE = 1.5
"""After so many heartbeats without a byte a broker is gone; it sends one every half."""
CLOSE_S = 2.0
LARGEST_FRAME_BYTES = 131_072
CHECKS = 10
"""Per heartbeat."""
FULL_S = 0.01
"""How long to wait where the library has much to write already."""


class Connection:
    """``channel`` is aio-pika's, ``basic`` the protocol's own beneath it."""

    def __init__(
        self,
        options: AmqpOptions,
        amqp: aio_pika.Connection,
        line: Line,
        channel: aio_pika.Channel,
        basic: Channel,
    ) -> None:
        self.options = options
        self.channel = channel
        self.basic = basic
        self.blocked = False
        """The broker takes no messages: one of its alarms, memory or disk, is on (RabbitMQ's extension)."""
        loop = asyncio.get_running_loop()
        self.ended: asyncio.Future[CrossplantError] = loop.create_future()
        self.check_every_s = math.ceil(options.heartbeat) / CHECKS
        self.confirms: Confirms = line.confirms
        self._writing = asyncio.Lock()
        self._pieces: list[bytes] = []
        self._amqp = amqp
        self._line = line
        self._time = loop.time
        self._checked_at = loop.time()
        assert amqp.transport is not None
        self._protocol = amqp.transport.connection
        self.ended.add_done_callback(lambda _: self.confirms.cut())
        self._protocol.closing.add_done_callback(self._on_closing)
        basic.closing.add_done_callback(self._on_closing)

    @property
    def alive(self) -> bool:
        """Whether it can be used, as far as is known."""
        return not self.ended.done()

    def abandon(self, error: CrossplantError) -> None:
        """Ends it at once, without a word; the first reason stays."""
        if self.alive:
            self.ended.set_result(error)
        self._line.abort()

    def check(self) -> None:
        """Notices silence, and whether the broker blocks us. To be called every ``check_every_s``.

        A late check means that this process stood still: what came meanwhile has to be read first.
        """
        now = self._time()
        late = now - self._checked_at > 2 * self.check_every_s
        self._checked_at = now
        silent_s = now - self._line.last_byte_at
        if silent_s > math.ceil(self.options.heartbeat) * SILENCE and not late:
            self.abandon(lost(f"no sign of life from the broker for {silent_s:.1f} s"))
        self.blocked = self.alive and not _returns_at_once(self._protocol.ready())

    @property
    def frame_max(self) -> int:
        """The largest frame that both sides agreed on."""
        return self._protocol.connection_tune.frame_max or LARGEST_FRAME_BYTES

    async def publish(self, frames: Sequence[bytes], ids: Sequence[str]) -> Flight:
        """Hands messages with these ids over, behind earlier ones; waits only for room.

        What is handed over in one turn of the loop, by many routes perhaps, is written in one piece.

        Cancelled, nothing of it was sent.
        """
        queue = self.basic.write_queue
        if queue.full() or self._writing.locked():
            async with self._writing:
                if self._pieces:
                    await queue.put(self._piece())
                self._pieces += frames
                await queue.put(self._piece())
                return self._taken_off(ids)
        if not self._pieces:
            asyncio.get_running_loop().call_soon(self._flush)
        self._pieces += frames
        return self._taken_off(ids)

    def _taken_off(self, ids: Sequence[str]) -> Flight:
        flight = self.confirms.take_off(ids)
        if not self.alive:
            self.confirms.cut()
        return flight

    def _piece(self) -> ChannelFrame:
        """What many calls wanted to write, for one."""
        piece = ChannelFrame(payload=b"".join(self._pieces), should_close=False)
        self._pieces.clear()
        return piece

    def _flush(self) -> None:
        if self._pieces and not self._writing.locked():
            if self.basic.write_queue.full():
                asyncio.get_running_loop().call_later(FULL_S, self._flush)
            else:
                self.basic.write_queue.put_nowait(self._piece())

    async def call(self, command: Coroutine[Any, Any, T]) -> T:
        """A command's answer within ``connect_timeout``. Raises CrossplantError; the channel may be over."""
        try:
            return await bounded(command, self.options.connect_timeout)
        except Exception as error:
            raise channel_fault(error) from error

    async def fresh_channel(self) -> aio_pika.Channel:
        """Another channel, for a question whose answer may close it. Raises CrossplantError."""
        channel = self._amqp.channel(publisher_confirms=False)
        assert isinstance(channel, aio_pika.Channel)
        await self.call(channel.initialize())
        return channel

    async def close(self) -> None:
        """Leaves in an orderly way; when that takes too long, or there is nobody to talk to, cuts it off."""
        goodbye = self.alive
        if goodbye:
            self.ended.set_result(lost("closed by us"))
        else:
            self._line.abort()
        await _close(self._amqp, self._line)

    def _on_closing(self, closing: asyncio.Future[Any]) -> None:
        if self.alive:
            cause = asyncio.CancelledError() if closing.cancelled() else closing.exception()
            self.ended.set_result(
                channel_fault(cause) if cause is not None else lost("the broker ended the connection")
            )


async def connect(
    options: AmqpOptions, tls: ssl.SSLContext | None, *, name: str, log: Log, confirms: bool
) -> Connection:
    """A connection, shown as ``name`` at the broker. Raises CrossplantError, in ``connect_timeout``."""
    line = Line(options, tls, log)
    amqp = aio_pika.Connection(_address(options), client_properties={"connection_name": name})
    amqp.kwargs["transport_factory"] = line  # aio-pika hands it on, yet has no argument for it
    try:
        try:
            basic, channel = await bounded(_open(amqp, confirms), options.connect_timeout)
        except Exception as error:
            raise connect_fault(error, options) from error
        if confirms:
            line.confirms.watch(basic.number)
        return Connection(options, amqp, line, channel, basic)
    except BaseException:
        line.abort()
        await _close(amqp, line)
        raise


async def _open(amqp: aio_pika.Connection, confirms: bool) -> tuple[Channel, aio_pika.Channel]:
    await amqp.connect()
    channel = amqp.channel(publisher_confirms=confirms)
    assert isinstance(channel, aio_pika.Channel)
    await channel.initialize()
    basic = await channel.get_underlay_channel()
    assert isinstance(basic, Channel)
    return basic, channel


async def _close(amqp: aio_pika.Connection, line: Line) -> None:
    closing = asyncio.create_task(amqp.close())
    try:
        await asyncio.wait([closing], timeout=CLOSE_S)
    finally:
        line.abort()
        if not closing.done():
            await asyncio.wait([closing], timeout=CLOSE_S)
            closing.cancel()
    if not closing.cancelled():
        closing.exception()  # it is over either way


def _address(options: AmqpOptions) -> URL:
    password = options.password.get_secret_value() if options.password is not None else None
    return URL.build(
        scheme="amqps" if options.secure else "amqp",
        host=options.host,
        port=options.port,
        user=options.username,
        password=password,
        path="/" if options.vhost == "/" else f"/{options.vhost}",
        query={"heartbeat": str(math.ceil(options.heartbeat))},
    )


def _returns_at_once(waiting: Coroutine[Any, Any, Any]) -> bool:
    """Whether the coroutine has nothing to wait for; it is not run any further."""
    try:
        waiting.send(None)
    except StopIteration:
        return True
    waiting.close()
    return False
