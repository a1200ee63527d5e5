"""Keeps a connection to the broker: builds it, waits for its end, builds it anew with growing pauses.

Also notices that two clients fight for one client id: each login throws the other out.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import ssl
from collections.abc import Awaitable, Callable

from adapters.mqtt.config import MqttOptions
from adapters.mqtt.connection import Connection, Handlers, Identity, connect
from adapters.mqtt.wire import Ending, lost
from canonical.errors import CrossplantError
from canonical.spec import AdapterContext, Health

__all__ = ["Link", "pause_s"]

FIRST_PAUSE_S = 0.5
STABLE_S = 10.0
"""A connection that lasted so long was a success; shorter ones make the pauses grow."""
SHORT_LIVES = 3
"""So many short connections in a row, each ended by the broker without a reason, look like a fight."""
_random = random.SystemRandom()


def pause_s(failures: int, longest_s: float) -> float:
    """How long to wait after so many failures in a row: 0.5 s, doubled each time, less up to half of it."""
    return min(longest_s, FIRST_PAUSE_S * 2.0 ** min(failures - 1, 30)) * _random.uniform(0.5, 1.0)


class Link:
    """``connection`` is the present one, while there is one; ``error`` why there is none.

    ``established`` is awaited with each new connection before it counts.
    """

    def __init__(
        self,
        options: MqttOptions,
        context: AdapterContext,
        health: Health,
        identity: Identity,
        handlers: Handlers,
        established: Callable[[Connection], Awaitable[None]],
    ) -> None:
        self.connection: Connection | None = None
        self.error: CrossplantError | None = None
        self.note = ""
        """What the owner wants said in ``health.detail`` of a connection; while set, ``established`` is tried
        again from time to time."""
        self._warning = ""
        self._options = options
        self._log = context.log
        self._health = health
        self._identity = identity
        self._handlers = handlers
        self._established = established
        self._changed = asyncio.Event()
        self._failures = 0
        self._short_lives = 0
        self._last_pause_s = 0.0

    async def run(self, tls: ssl.SSLContext | None) -> None:
        """Runs until it is cancelled; then the connection is closed."""
        while True:
            try:
                ending, lasted_s = await self._one_connection(tls)
                self._judge(ending, lasted_s)
            except CrossplantError as error:
                self.error = error
                self._failures += 1
            except Exception as error:  # noqa: BLE001 - whatever a library runs into: the next connection is new
                self.error = lost(f"the connection failed: {type(error).__name__}: {error}", error)
                self._failures += 1
            self._last_pause_s = pause_s(self._failures, self._options.max_backoff)
            self._report_down()
            await asyncio.sleep(self._last_pause_s)

    async def connected(self, within_s: float) -> Connection | None:
        """The present connection, or the next one if it comes in time."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(within_s):
                while self.connection is None or not self.connection.alive:
                    self._changed.clear()
                    await self._changed.wait()
                return self.connection
        return None

    async def _one_connection(self, tls: ssl.SSLContext | None) -> tuple[Ending, float]:
        """How a connection ended, and how long it lasted. Raises CrossplantError if none came about."""
        loop = asyncio.get_running_loop()
        connection = await connect(self._options, tls, self._identity, self._handlers)
        started = loop.time()
        try:
            await self._established(connection)
            self.connection, self.error = connection, None
            self._health.connected = True
            self._report_up()
            self._changed.set()
            await self._mind(connection)
        except CrossplantError:
            if not connection.ended.done():
                raise
        finally:
            self.connection = None
            self._health.connected = False
            await connection.close()
        return connection.ended.result(), loop.time() - started

    async def _mind(self, connection: Connection) -> None:
        """Returns at the connection's end. While the owner has a note, ``established`` is tried again."""
        while not connection.ended.done():
            retry_s = self._options.max_backoff if self.note else None
            await asyncio.wait([connection.ended], timeout=retry_s)
            if self.note and connection.alive:
                await self._established(connection)
                self._report_up()

    def _judge(self, ending: Ending, lasted_s: float) -> None:
        """Whether the next pause grows, and whether somebody else uses our client id."""
        self.error = ending.error
        stable = lasted_s >= max(STABLE_S, 2 * self._last_pause_s)
        self._failures = 1 if stable and not ending.taken_over else self._failures + 1
        self._short_lives = 0 if stable else self._short_lives + 1
        if not ending.taken_over and self._short_lives < SHORT_LIVES:
            self._warning = "" if stable else self._warning
            return
        certain = "another client uses" if ending.taken_over else "perhaps another client uses"
        self._warning = f"{certain} the client id {self._identity.client_id!r}: give each one its own"
        self._log.error(
            "mqtt_client_id_taken_over" if ending.taken_over else "mqtt_connections_end_early",
            broker=self._options.url,
            client_id=self._identity.client_id,
            lasted_s=round(lasted_s, 3),
            reason=ending.error.message,
            action="give each client, and each hub, a client_id of its own",
        )

    def _report_up(self) -> None:
        said = f"connected to {self._options.url} as {self._identity.client_id!r}"
        self._health.detail = "; ".join(part for part in (said, self.note, self._warning) if part)
        self._log.info("mqtt_connected", broker=self._options.url, client_id=self._identity.client_id)

    def _report_down(self) -> None:
        message = self.error.message if self.error else "not connected"
        attempt = f"next attempt in {self._last_pause_s:.1f} s"
        self._health.detail = "; ".join(part for part in (message, self._warning, attempt) if part)
        self._log.warning(
            "mqtt_disconnected",
            broker=self._options.url,
            client_id=self._identity.client_id,
            reason=message,
            failures=self._failures,
            next_attempt_s=round(self._last_pause_s, 3),
        )
