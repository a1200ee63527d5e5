"""AMQP messages out: accepted once the broker has confirmed them.

The messages of a call are written in order, in one piece, and the broker confirms many at a time. A message
that no queue gets comes back and is rejected. The idempotency key is the message-id, so that a consumer can
tell a repeated message.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from itertools import count

from msgspec import Struct

from adapters.amqp.config import AmqpOptions, AmqpTarget
from adapters.amqp.confirms import Flight
from adapters.amqp.connection import LARGEST_FRAME_BYTES, Connection
from adapters.amqp.dial import tls_context
from adapters.amqp.letter import Writing
from adapters.amqp.link import Link
from adapters.amqp.report import Report
from canonical.errors import CrossplantError, PermanentError, Rejected, TransientError
from canonical.ports import Accepted, Delivery, Failed, NotTried, SinkOutcome
from canonical.spec import AdapterContext, Health

__all__ = ["AmqpSink"]

ACCEPTED = Accepted()


class AmqpSink:
    """A sink over one connection of its own: an alarm at the broker blocks publishers, not consumers."""

    def __init__(self, options: AmqpOptions, context: AdapterContext) -> None:
        self._options = options
        self._context = context
        # Where the adapter also takes in, its health is that of the way in; a route shows how the way out is.
        self._health = Health() if options.receives else context.health
        self._link = Link(options, context, self._health, self._established, confirms=True)
        self._writing = Writing(channel=1, frame_max=LARGEST_FRAME_BYTES)
        self._exchanges: set[str] = set()
        self._task: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Starts connecting, and goes on until ``close``. Raises ConfigError for unusable certificates."""
        tls = await asyncio.to_thread(tls_context, self._options)
        self._health.detail = f"connecting to {self._options.url}"
        self._task = asyncio.create_task(self._link.run(tls), name=f"amqp sink {self._context.name}")

    async def close(self) -> None:
        """Leaves the broker; safe to call twice."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
            self._task = None
            self._health.detail = "closed"

    async def send(self, deliveries: Sequence[Delivery]) -> Sequence[SinkOutcome]:
        """Returns within ``connect_timeout`` plus ``publish_timeout``.

        Not connected, or blocked by an alarm: Failed, an outage. Sent and no confirm: Unknown. Once a
        delivery has failed, later ones of its key are NotTried, except those that were on their way already.
        """
        if not deliveries:
            return []
        report = Report(deliveries)
        if self._task is None:
            report.give_up(TransientError("the sink is not open", code="not_open", outage=True))
            return report.outcomes()
        connection = self._link.usable_now() or await self._link.usable(self._options.connect_timeout)
        if connection is None:
            report.give_up(self._link.absence())
            return report.outcomes()
        try:
            async with asyncio.timeout(self._options.publish_timeout):
                await self._publish_all(connection, report)
        except TimeoutError:
            report.give_up(self._overdue(connection))
        outcomes = report.outcomes()
        if any(isinstance(outcome, Accepted) for outcome in outcomes):
            self._health.last_good_at = self._context.clock()
        return outcomes

    async def _established(self, connection: Connection) -> None:
        self._exchanges = {""}
        self._writing = Writing(connection.basic.number, connection.frame_max)

    async def _publish_all(self, connection: Connection, report: Report) -> None:
        """Settles every delivery. What the broker answers with the end of the channel ends the connection."""
        try:
            post = await self._written(connection, report)
        except CrossplantError as error:
            connection.abandon(error)
            report.give_up(error)
            return
        if not post.places:
            return
        flight = await connection.publish(post.frames, post.ids)
        post.sent(report)
        try:
            await flight.done
        finally:
            _settle(connection, flight, post, report)
        if flight.cut:
            self._settle_rest(connection, report)

    async def _written(self, connection: Connection, report: Report) -> _Post:
        """What is to be published. Raises CrossplantError: the connection is of no use any more."""
        if (alike := self._alike(report.deliveries)) is not None:
            return alike
        post = _Post([], [], [], [])
        writing = self._writing
        for index, delivery in enumerate(report.deliveries):
            if report.failed and report.held_back(index):
                report.settle(index, NotTried())
                continue
            try:
                envelope = writing.envelope(delivery)
                if envelope.target.exchange not in self._exchanges:
                    await self._ensure_exchange(connection, envelope.target.exchange)
                post.frames.append(writing.frames(delivery, envelope))
            except Rejected as error:
                report.settle(index, Failed(error))
                continue
            post.places.append(index)
            post.ids.append(delivery.idempotency_key)
            post.targets.append(envelope.target)
        return post

    def _alike(self, deliveries: Sequence[Delivery]) -> _Post | None:
        """All that is to be published, when nothing is particular about any of it."""
        try:
            envelope = self._writing.envelope(deliveries[0])
        except Rejected:
            return None
        if envelope.target.exchange not in self._exchanges:
            return None
        frames = self._writing.frames_alike(deliveries, envelope)
        if frames is None:
            return None
        ids = [delivery.idempotency_key for delivery in deliveries]
        return _Post(list(range(len(ids))), frames, ids, [envelope.target] * len(ids))

    async def _ensure_exchange(self, connection: Connection, name: str) -> None:
        """Asked on a channel of its own: publishing to an exchange that is not there would end ours."""
        if name in self._exchanges:
            return
        asking = await connection.fresh_channel()
        try:
            await connection.call(asking.declare_exchange(name, passive=True))
        except Rejected as error:
            raise Rejected(
                f"{error.message}; make it, or correct the route", code="exchange_missing"
            ) from error
        await connection.call(asking.close())
        self._exchanges.add(name)

    def _settle_rest(self, connection: Connection, report: Report) -> None:
        """The channel is over: by the network, or because the broker refused one message."""
        error = connection.ended.result()
        if isinstance(error, PermanentError):
            culprit = _culprit(report, error.message)
            if culprit is not None:
                report.blame(culprit, error)
        connection.abandon(error)
        report.give_up(error if isinstance(error, TransientError) else _interrupted(error))

    def _overdue(self, connection: Connection) -> CrossplantError:
        """Why no confirm came. A connection that is merely blocked stays: it may hold them yet."""
        connection.check()
        if connection.blocked:
            return self._link.absence()
        text = f"no confirm from {self._options.url} within {self._options.publish_timeout:g} s"
        error = TransientError(text, code="timeout")
        connection.abandon(error)
        return error


class _Post(Struct):
    """Messages ready to be written: their places in the report, frames, ids and targets."""

    places: list[int]
    frames: list[bytes]
    ids: list[str]
    targets: list[AmqpTarget]

    def sent(self, report: Report) -> None:
        """Tells the report that they are on their way."""
        if len(self.places) == len(report.deliveries):
            report.all_sent()
            return
        for index in self.places:
            report.sent(index)


def _settle(connection: Connection, flight: Flight, post: _Post, report: Report) -> None:
    """Settles what the broker has answered by now."""
    confirms = connection.confirms
    if len(post.places) == len(report.deliveries) and confirms.all_taken(flight):
        report.all_accepted(ACCEPTED)
        confirms.land(flight)
        return
    for tag, index, identifier, target in zip(
        count(flight.first), post.places, post.ids, post.targets, strict=False
    ):
        taken = confirms.taken(tag)
        if taken is False:
            text = "the broker did not take the message (basic.nack)"
            report.settle(index, Failed(TransientError(text, code="nack")))
        elif (reply := flight.returned.get(identifier)) is not None:
            report.settle(index, Failed(_unroutable(target, reply)))
        elif taken:
            report.settle(index, ACCEPTED)
    confirms.land(flight)


def _unroutable(target: AmqpTarget, reply: str) -> Rejected:
    where = f"exchange {target.exchange!r} with routing key {target.routing_key!r}"
    return Rejected(
        f"no queue gets a message of {where} ({reply}); bind a queue, or set mandatory: false",
        code="unroutable",
        context={"exchange": target.exchange, "routing_key": target.routing_key},
    )


def _culprit(report: Report, text: str) -> int | None:
    """Which delivery a refusal (404, 403, 406) is about: RabbitMQ names the exchange, or the size."""
    unsettled = report.open()
    if len(unsettled) == 1:
        return unsettled[0]
    for index in unsettled:
        delivery = report.deliveries[index]
        exchange = delivery.target.get("exchange")
        if (exchange and f"'{exchange}'" in text) or f"size {len(delivery.payload)} " in text:
            return index
    return None


def _interrupted(error: CrossplantError) -> TransientError:
    """For deliveries beside the one that the broker refused: nothing is wrong with them."""
    return TransientError(f"interrupted: {error.message}", code="connection_lost")
