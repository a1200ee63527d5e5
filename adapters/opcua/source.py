"""The source: connects, subscribes, and starts anew whenever values no longer flow."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Sequence
from datetime import datetime
from typing import Final, Never

from adapters.opcua.backoff import Backoff
from adapters.opcua.buffer import Arrival, Buffer
from adapters.opcua.config import OpcuaConfig
from adapters.opcua.connect import Connector
from adapters.opcua.durable import decode_durable
from adapters.opcua.faults import UNEXPECTED, Ended, explain
from adapters.opcua.flow import Flow
from adapters.opcua.intake import Intake
from adapters.opcua.session import Held, Session
from adapters.opcua.subscribe import limit_s, subscribe
from adapters.opcua.trust import SOON, OwnCertificate, own_certificate
from canonical.errors import CrossplantError, Unauthorized
from canonical.ports import Inbound, Outcome
from canonical.spec import AdapterContext

__all__ = ["OpcuaSource"]

STEADY_S: Final = 30.0
"""A connection that lived so long starts the backoff anew when it ends."""


class OpcuaSource:
    """Values of one server. Owns its reconnection: a connection in doubt is disposed of, never healed.

    What was not committed is asked for again, under the same ids, as long as the server keeps the
    subscription; otherwise the gap is written down, by `telemetry.source.changed` with `gap`.
    """

    def __init__(self, settings: OpcuaConfig, context: AdapterContext) -> None:
        self._settings, self._context = settings, context
        self._buffer = Buffer(settings.buffer)
        self._intake = Intake(settings, context, self._buffer)
        self._backoff = Backoff(settings.min_backoff, settings.max_backoff)
        self._task: asyncio.Task[None] | None = None
        self._flow: tuple[str, Flow] | None = None
        self._held: Held | None = None
        self._complaint = ""

    async def open(self) -> None:
        """Starts connecting. Raises ConfigError when the files of our certificate cannot be used."""
        context = self._context
        uri = self._settings.application_uri or f"urn:crossplant:{context.name}"
        own = await self._own_certificate(uri) if self._settings.security != "none" else None
        connector = Connector(self._settings, context, own, uri)
        self._intake.remember(decode_durable(context.state))
        for option, risk in self._settings.warnings():
            context.log.warning("opcua_risk", option=option, risk=risk)
        context.health.detail = f"connecting to {self._settings.url}"
        self._task = asyncio.create_task(self._run(connector), name=f"opcua {context.name}")

    async def receive(self) -> AsyncIterator[Inbound]:
        """Yields what has arrived, as it comes, until ``close``."""
        while arrivals := await self._buffer.take():
            yield self._inbound(arrivals)

    async def close(self) -> None:
        """Ends the session; with `resume` the server keeps the subscription for the next start."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        await self._buffer.close()
        self._context.health.connected = False
        self._context.health.detail = "closed"

    def _inbound(self, arrivals: Sequence[Arrival]) -> Inbound:
        async def acknowledge(_: Sequence[Outcome]) -> None:
            for arrival in arrivals:
                if arrival.sequence is not None and self._flow is not None and self._flow[0] == arrival.epoch:
                    self._flow[1].acknowledge(arrival.sequence)

        messages = [arrival.raw for arrival in arrivals]
        return Inbound(messages=messages, ack=acknowledge, state=arrivals[-1].state)

    async def _own_certificate(self, uri: str) -> OwnCertificate:
        folder, now = self._context.data_dir, self._context.clock()
        own = await asyncio.to_thread(own_certificate, folder, uri, socket.gethostname(), now)
        self._warn_of_expiry("our certificate", own.valid_until)
        return own

    def _warn_of_expiry(self, what: str, valid_until: datetime | None) -> None:
        if valid_until is not None and valid_until - self._context.clock() < SOON:
            until = valid_until.isoformat()
            self._context.log.warning("opcua_certificate_expires", what=what, valid_until=until)

    async def _run(self, connector: Connector) -> None:
        """One connection after another, until cancelled; a fault of ours ends ``receive`` with it."""
        try:
            while True:
                error = await self._until_it_ends(connector)
                await self._lost(error)
                refused = isinstance(error, Unauthorized)
                await asyncio.sleep(self._backoff.longest() if refused else self._backoff.next())
        except Exception as error:  # noqa: BLE001 - handed to whoever receives
            await self._buffer.close(error)

    async def _lost(self, error: CrossplantError) -> None:
        """Says why there are no values, once, and writes it down."""
        health = self._context.health
        health.connected, health.detail = False, error.message
        log = self._context.log
        if error.code == UNEXPECTED:
            log.error("opcua_unexpected", reason=error.message, exc_info=error.__cause__)
        say = log.debug if error.message == self._complaint else log.warning
        say("opcua_not_connected", reason=error.message, code=error.code)
        self._complaint = error.message
        await self._intake.lost(error.code)

    async def _until_it_ends(self, connector: Connector) -> CrossplantError:
        """Connects and takes values in; returns why that came to an end."""
        try:
            session = await connector.open(self._held)
        except Exception as error:  # noqa: BLE001 - whatever it is, the next attempt may do better
            ended = explain(error, self._settings.url)
            if isinstance(ended, Ended) and not ended.resumable:
                self._held = None
            return ended
        self._warn_of_expiry("the server's certificate", connector.server_valid_until)
        started = asyncio.get_running_loop().time()
        try:
            await self._listen(session)
        except asyncio.CancelledError:
            last = self._flow[1].acknowledgements if self._flow else ()
            await session.close(delete_subscriptions=not self._settings.resume, acknowledgements=last)
            raise
        except Exception as error:  # noqa: BLE001 - as above
            return await self._part(session, explain(error, self._settings.url))
        finally:
            self._flow = None
            if asyncio.get_running_loop().time() - started > STEADY_S:
                self._backoff.reset()

    async def _listen(self, session: Session) -> Never:
        """Subscribes and takes in what comes; only ever ends by raising."""
        intake = self._intake
        intake.session = session.session_id
        subscribed = await subscribe(self._settings, session, intake.durable, self._context.log)
        intake.begin(subscribed)
        durable = subscribed.durable
        flow = Flow(
            session,
            durable.subscription_id,
            limit_s=limit_s(self._settings, durable.quiet_s),
            requests=self._settings.publish_requests,
            last=durable.last,
            deliver=intake.deliver,
            missed=intake.missed,
        )
        self._flow = (durable.epoch, flow)
        await intake.refused(subscribed.items.refused)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(flow.run())
            tasks.create_task(subscribed.items.keep_trying(intake.refused))
            tasks.create_task(session.keep_channel())
        raise AssertionError("these tasks never end by themselves")

    async def _part(self, session: Session, error: CrossplantError) -> CrossplantError:
        """Disposes of a session that failed; what the server keeps of it may serve the next one."""
        if self._settings.resume and isinstance(error, Ended) and error.resumable:
            self._held = session.held
            session.abort()
        else:
            self._held = None
            self._intake.forget()
            await session.close(delete_subscriptions=True)
        return error
