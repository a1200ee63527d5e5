"""A connected socket and its MQTT client, driven by the event loop: bulk reads, writes, pings, the end.

There is no thread. The loop watches the socket, PUBLISH packets go straight to their handler, all
others to paho. Whatever goes wrong, also an exception in paho or in a handler, ends the wire with a
reason; nothing is healed, who owns it builds a new one.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Callable
from typing import Any

from msgspec import Struct
from paho.mqtt.client import Client
from paho.mqtt.enums import MQTTErrorCode

from adapters.mqtt.client import BulkClient, receive
from adapters.mqtt.packets import SHORTEST, Puback, Publishes, disconnect_reason, read_puback, split
from adapters.mqtt.reasons import SESSION_TAKEN_OVER, reason_text
from canonical.errors import CrossplantError, TransientError

__all__ = ["CLOSED", "Ending", "Wire", "lost"]

READ_BYTES = 262_144
CLOSED = "connection_closed"
"""The error code when the broker ended the connection in an orderly way, without a reason."""
SILENCE = 1.5
"""After so many keep-alives without a byte a broker is gone; it judges us alike (MQTT 5.0, 3.1.2.10)."""


class Ending(Struct, frozen=True, kw_only=True):
    """Why a connection is over. ``taken_over``: the broker says that another client has our session now."""

    error: CrossplantError
    taken_over: bool = False


class Wire:
    """``ended`` is done once it is over."""

    def __init__(
        self,
        connected: socket.socket,
        client: BulkClient,
        *,
        keepalive_s: int,
        properties: bool,
        publishes: Callable[[Publishes], None],
        acknowledged: Callable[[Puback], None],
    ) -> None:
        self.client = client
        self.keepalive_s = keepalive_s
        self._loop = asyncio.get_running_loop()
        self.ended: asyncio.Future[Ending] = self._loop.create_future()
        self._socket = connected
        self._descriptor = connected.fileno()
        self._properties = properties
        self._publishes = publishes
        self._acknowledged = acknowledged
        self._pieces: list[bytes] = []
        self._size = 0
        self._needed = SHORTEST
        self._timer: asyncio.TimerHandle | None = None
        self._watched = False
        self._paused = False
        self._last_in = self._last_out = self._last_ping = self._loop.time()

    def start(self) -> None:
        """Reads and writes from now on."""
        # While we do not read, the kernel still gives up when TCP does not acknowledge what we sent.
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        user_timeout_ms = int(self.keepalive_s * SILENCE * 1_000)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, user_timeout_ms)
        self.client.on_socket_close = self._on_socket_close
        self.client.on_socket_register_write = self._on_register_write
        self.client.on_socket_unregister_write = self._on_unregister_write
        self._watched = True
        self._loop.add_reader(self._descriptor, self._readable)
        self._tick()

    def judge_by(self, keepalive_s: int) -> None:
        """From now on so many seconds are the keep-alive: the broker may have its own."""
        self.keepalive_s = keepalive_s
        if self._timer is not None:
            self._timer.cancel()
        self._tick()

    def end(self, ending: Ending) -> None:
        """Closes the socket, without a word; the first reason stays."""
        if self.ended.done():
            return
        self._unwatch()
        self._socket.close()
        if self._timer is not None:
            self._timer.cancel()
        self.ended.set_result(ending)

    def flush(self) -> None:
        """Sends what the client has queued, as far as the socket takes it; the rest follows by itself."""
        if self.ended.done():
            return
        self._last_out = self._loop.time()
        try:
            self.client.loop_write()
        except Exception as error:  # noqa: BLE001 - whatever paho runs into ends this wire, not the loop
            self._fail(error)

    def pause(self) -> None:
        """Stops reading, so that TCP makes the broker wait. Pings go on; silence is not judged meanwhile."""
        if not self._paused and self._watched:
            self._paused = True
            self._loop.remove_reader(self._descriptor)

    def resume(self) -> None:
        """Reads on after ``pause``."""
        if self._paused and self._watched:
            self._paused = False
            self._last_in = self._loop.time()
            self._loop.add_reader(self._descriptor, self._readable)
            self._loop.call_soon(self._readable)  # a TLS socket may hold data that the loop cannot see

    def _readable(self) -> None:
        if self._paused or self.ended.done():
            return
        try:
            data = receive(self._socket, READ_BYTES)
            if data is None:
                return
            if not data:
                self.end(Ending(error=lost("the broker closed the connection", code=CLOSED)))
                return
            self._last_in = self._loop.time()
            self._take(data)
            if isinstance(self._socket, ssl.SSLSocket) and not self.ended.done() and self._socket.pending():
                self._loop.call_soon(self._readable)
        except Exception as error:  # noqa: BLE001 - rubbish, or a faulty handler, ends this wire, not the loop
            self._fail(error)

    def _take(self, data: bytes) -> None:
        """Handles all whole packets. Others come before PUBLISH: the answer to the login is one of them."""
        self._pieces.append(data)
        self._size += len(data)
        if self._size < self._needed:
            return
        data = b"".join(self._pieces) if len(self._pieces) > 1 else data
        found = split(data, properties=self._properties)
        rest = data[found.used :]
        self._pieces, self._size, self._needed = [rest] if rest else [], len(rest), found.needed
        for packet in found.others:
            self._handle(packet)
        if found.publishes.mids:
            self._publishes(found.publishes)
        if found.others:
            self.flush()

    def _handle(self, packet: bytes) -> None:
        # paho 2.1 does not read the reason of a short DISCONNECT.
        if (reason := disconnect_reason(packet)) is not None:
            error = lost(f"the broker ended the connection: {reason_text(reason)}")
            self.end(Ending(error=error, taken_over=reason == SESSION_TAKEN_OVER))
        elif (acknowledged := read_puback(packet)) is not None:
            self._acknowledged(acknowledged)
        elif not self.ended.done() and self.client.feed(packet) != MQTTErrorCode.MQTT_ERR_SUCCESS:
            self.end(Ending(error=lost("the broker broke the protocol")))

    def _fail(self, error: Exception) -> None:
        self.end(Ending(error=lost(f"the connection failed: {type(error).__name__}: {error}", error)))

    def _tick(self, due: float | None = None) -> None:
        """Pings when it is time, and gives up after too long a silence.

        A late tick means that this process stood still: what came meanwhile has to be read first.
        """
        if self.ended.done():
            return
        now, every = self._loop.time(), self.keepalive_s / 10
        late = due is not None and now - due > every
        silent_s = now - self._last_in
        if silent_s > self.keepalive_s * SILENCE and not self._paused and not late:
            self.end(Ending(error=lost(f"no sign of life from the broker for {silent_s:.1f} s")))
            return
        idle_s = max(silent_s, now - self._last_out)
        if min(idle_s, now - self._last_ping) >= self.keepalive_s / 2:
            self._last_ping = now
            self.client.ping()
            self.flush()
        self._timer = self._loop.call_later(every, self._tick, now + every)

    def _on_register_write(self, client: Client, data: Any, connected: Any) -> None:
        if self._watched:
            self._loop.add_writer(self._descriptor, self.flush)

    def _on_unregister_write(self, client: Client, data: Any, connected: Any) -> None:
        if self._watched:
            self._loop.remove_writer(self._descriptor)

    def _on_socket_close(self, client: Client, data: Any, connected: Any) -> None:
        self._unwatch()

    def _unwatch(self) -> None:
        """Before the descriptor is closed: its number may belong to somebody else a moment later."""
        if self._watched:
            self._watched = False
            self._loop.remove_reader(self._descriptor)
            self._loop.remove_writer(self._descriptor)


def lost(message: str, cause: Exception | None = None, *, code: str = "connection_lost") -> TransientError:
    """The error of a connection that is over."""
    error = TransientError(message, code=code, outage=True)
    error.__cause__ = cause
    return error
