"""The publish loop of one subscription: requests out, notifications in, in order, none missing.

Liveness is here and nowhere else: when neither data nor a keep-alive has come for ``limit_s``, the
connection counts as broken, whatever its state says. While the hub is slow no request is sent, so the
server queues; that is no silence.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Final, Protocol

from asyncua import ua

from adapters.opcua.builtin import WireError
from adapters.opcua.channel import Acknowledgement, dismiss
from adapters.opcua.faults import Ended, status_name
from adapters.opcua.notification import Publication, read_publish_response, read_republish_response

__all__ = ["Flow", "Publisher", "following"]

LAST_SEQUENCE: Final = 0xFFFFFFFF
REPUBLISHED_MAX: Final = 1000
FEWER: Final = frozenset({ua.StatusCodes.BadTooManyPublishRequests})
TRANSFERRED: Final = ua.StatusCodes.GoodSubscriptionTransferred


class Publisher(Protocol):
    """What a flow needs of a session."""

    def publish(self, acknowledgements: list[Acknowledgement]) -> asyncio.Future[bytes]: ...
    async def republish(self, subscription_id: int, sequence: int) -> bytes | None: ...


class Flow:
    """``deliver`` gets every notification once, in order, and may take its time; ``missed`` is told how
    many the server could not repeat, and the number of the last of them. ``last`` is the number of the
    last one delivered, 0 before the first.
    """

    def __init__(
        self,
        publisher: Publisher,
        subscription_id: int,
        *,
        limit_s: float,
        requests: int,
        last: int,
        deliver: Callable[[Publication], Awaitable[None]],
        missed: Callable[[int, int], Awaitable[None]],
    ) -> None:
        self._publisher, self.subscription_id = publisher, subscription_id
        self._limit_s, self._requests = limit_s, requests
        self._deliver, self._missed = deliver, missed
        self._acknowledged: list[int] = []
        self._under_way: deque[tuple[asyncio.Future[bytes], list[int]]] = deque()
        self.last = last

    def acknowledge(self, sequence: int) -> None:
        """The server may forget this message; it is told with the next request."""
        self._acknowledged.append(sequence)

    @property
    def acknowledgements(self) -> list[Acknowledgement]:
        """Those that no request has carried yet."""
        return [(self.subscription_id, sequence) for sequence in self._acknowledged]

    async def run(self) -> None:
        """Runs until the connection or the subscription ends; raises why."""
        try:
            while True:
                while len(self._under_way) < self._requests:
                    self._publish()
                # The server answers requests in their order, so the oldest is next.
                body = await self._next()
                if body is not None:
                    await self._received(_readable(read_publish_response, body))
        finally:
            self._drop()

    def _publish(self) -> None:
        """Sends one request with what is to be acknowledged."""
        acknowledgements, sequences, self._acknowledged = self.acknowledgements, self._acknowledged, []
        self._under_way.append((self._publisher.publish(acknowledgements), sequences))

    async def _next(self) -> bytes | None:
        """The next response; None when the server wants to be asked less."""
        response, sequences = self._under_way[0]
        try:
            async with asyncio.timeout(self._limit_s):
                return await response
        except TimeoutError:
            if not response.cancelled():
                raise  # of the socket
            why = f"neither data nor a keep-alive for {self._limit_s:.1f} s"
            raise Ended(why, code="silent") from None
        except ua.UaStatusCodeError as error:
            if error.code not in FEWER or self._requests == 1:
                raise
            self._requests -= 1
            self._acknowledged += sequences
            return None
        finally:
            self._under_way.popleft()

    def _drop(self) -> None:
        """Waits for no response any more."""
        for response, _ in self._under_way:
            dismiss(response)
        self._under_way.clear()

    async def _received(self, publication: Publication) -> None:
        if publication.subscription_id != self.subscription_id:
            return  # a subscription of an earlier connection that the server has not forgotten yet
        if not await self._in_order(publication):
            return
        if not publication.keep_alive:
            self.last = publication.sequence
        await self._deliver(publication)
        if publication.ended is not None:
            raise _over(publication.ended)

    async def _in_order(self, publication: Publication) -> bool:
        """Whether this one is new; what was sent before it and did not arrive is asked for first."""
        ahead = _distance(self.last, publication.sequence)
        if publication.keep_alive:
            if 1 < ahead < LAST_SEQUENCE // 2:
                await self._repeat(ahead - 1)
            return True
        if ahead == 0 or ahead > LAST_SEQUENCE // 2:
            self.acknowledge(publication.sequence)
            return False
        if ahead > 1:
            await self._repeat(ahead - 1)
        return True

    async def _repeat(self, count: int) -> None:
        """Delivers the next ``count`` messages, as far as the server has kept them; tells how many not."""
        gone = 0
        for number in range(count):
            sequence = following(self.last)
            body = None
            if number < REPUBLISHED_MAX:
                body = await self._publisher.republish(self.subscription_id, sequence)
            if body is None:
                gone += 1
                self.last = sequence
                continue
            if gone:
                await self._missed(gone, self.last)
                gone = 0
            self.last = sequence
            await self._deliver(_readable(read_republish_response, body, self.subscription_id))
        if gone:
            await self._missed(gone, self.last)


def following(sequence: int) -> int:
    """The next sequence number; after the largest comes 1 (OPC 10000-4, 7.11)."""
    return 1 if sequence >= LAST_SEQUENCE else sequence + 1


def _distance(last: int, sequence: int) -> int:
    """How many messages after ``last`` this one is; 0 for the same, huge for an earlier one."""
    return (sequence - last) % LAST_SEQUENCE


def _readable(read: Callable[..., Publication], *arguments: bytes | int) -> Publication:
    try:
        return read(*arguments)
    except WireError as error:
        raise Ended(f"a notification that cannot be read: {error}", code="unreadable") from error


def _over(status: int) -> Ended:
    if status == TRANSFERRED:
        return Ended(
            "another client took this subscription over; does a second hub run with this adapter?",
            code="taken_over",
            resumable=False,
        )
    return Ended(f"the server ended the subscription: {status_name(status)}", code="ended", resumable=False)
