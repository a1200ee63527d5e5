"""Keeps a connection to the broker: builds it, watches it, builds it anew with growing pauses."""

from __future__ import annotations

import asyncio
import contextlib
import random
import ssl
from collections.abc import Awaitable, Callable

from adapters.amqp.config import AmqpOptions
from adapters.amqp.connection import Connection, connect
from adapters.amqp.faults import lost
from canonical.errors import CrossplantError, PermanentError, TransientError
from canonical.spec import AdapterContext, Health

__all__ = ["Link", "pause_s"]

FIRST_PAUSE_S = 0.5
STABLE_S = 10.0
"""A connection that lasted so long was a success; shorter ones make the pauses grow."""
LOGIN_REFUSED = frozenset({"login_refused", "vhost_refused"})
"""Codes after which the longest pause is taken at once, so that no account gets locked."""
BLOCKED = "the broker blocks publishers (memory or disk alarm); free memory or disk space there"
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
        options: AmqpOptions,
        context: AdapterContext,
        health: Health,
        established: Callable[[Connection], Awaitable[None]],
        *,
        confirms: bool,
    ) -> None:
        self.connection: Connection | None = None
        self.error: CrossplantError | None = None
        self._options = options
        self._name = f"crossplant {context.name}"
        self._log = context.log
        self._health = health
        self._established = established
        self._confirms = confirms
        self._changed = asyncio.Event()
        self._failures = 0
        self._last_pause_s = 0.0

    async def run(self, tls: ssl.SSLContext | None) -> None:
        """Runs until it is cancelled; then the connection is closed."""
        while True:
            try:
                self.error, lasted_s = await self._one_connection(tls)
                stable = lasted_s >= max(STABLE_S, 2 * self._last_pause_s)
                # A refused message ends a connection, too; it says nothing about the next one.
                fine = stable or isinstance(self.error, PermanentError)
                self._failures = 1 if fine else self._failures + 1
            except CrossplantError as error:
                self.error = error
                self._failures += 1
            except Exception as error:  # noqa: BLE001 - whatever a library runs into: the next connection is new
                self.error = lost(f"the connection failed: {type(error).__name__}: {error}", error)
                self._failures += 1
            longest_s = self._options.max_backoff
            refused = self.error.code in LOGIN_REFUSED
            self._last_pause_s = longest_s if refused else pause_s(self._failures, longest_s)
            self._report_down()
            await asyncio.sleep(self._last_pause_s)

    def usable_now(self) -> Connection | None:
        """The present connection, if it is alive and not blocked."""
        found = self.connection
        return found if found is not None and found.alive and not found.blocked else None

    async def usable(self, within_s: float) -> Connection | None:
        """The present connection, or the next one, that is alive and not blocked, if it comes in time."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(within_s):
                while True:
                    if (found := self.usable_now()) is not None:
                        return found
                    self._changed.clear()
                    await self._changed.wait()
        return None

    def absence(self) -> CrossplantError:
        """Why there is no usable connection: an outage, an alarm, or credentials that the broker refuses."""
        if self.connection is not None and self.connection.blocked:
            return TransientError(f"{self._options.url}: {BLOCKED}", code="blocked", outage=True)
        return self.error or TransientError(
            f"no connection to {self._options.url} within {self._options.connect_timeout:g} s",
            code="not_connected",
            outage=True,
        )

    async def _one_connection(self, tls: ssl.SSLContext | None) -> tuple[CrossplantError, float]:
        """Why a connection ended, and how long it lasted. Raises CrossplantError if none came about."""
        loop = asyncio.get_running_loop()
        connection = await connect(
            self._options, tls, name=self._name, log=self._log, confirms=self._confirms
        )
        started = loop.time()
        try:
            await self._establish(connection)
            self.connection, self.error = connection, None
            self._report_up(connection)
            await self._mind(connection)
        finally:
            self.connection = None
            self._health.connected = False
            await connection.close()
        return connection.ended.result(), loop.time() - started

    async def _establish(self, connection: Connection) -> None:
        try:
            await self._established(connection)
        except CrossplantError as error:
            if error.code == "connection_lost" and not connection.alive:
                raise connection.ended.result() from error  # the reason says more than its effect
            raise

    async def _mind(self, connection: Connection) -> None:
        """Returns at the connection's end."""
        while not connection.ended.done():
            await asyncio.wait([connection.ended], timeout=connection.check_every_s)
            blocked = connection.blocked
            connection.check()
            if not connection.ended.done() and blocked != connection.blocked:
                self._report_up(connection)

    def _report_up(self, connection: Connection) -> None:
        url = self._options.url
        self._health.connected = not connection.blocked
        if connection.blocked:
            self._health.detail = f"connected to {url}, but {BLOCKED}"
            self._log.warning("amqp_blocked", broker=url, reason=BLOCKED)
        else:
            self._health.detail = f"connected to {url}"
            self._log.info("amqp_connected", broker=url)
        self._changed.set()

    def _report_down(self) -> None:
        assert self.error is not None
        message = self.error.message
        self._health.detail = f"{message}; next attempt in {self._last_pause_s:.1f} s"
        self._log.warning(
            "amqp_disconnected",
            broker=self._options.url,
            reason=message,
            failures=self._failures,
            next_attempt_s=round(self._last_pause_s, 3),
        )
