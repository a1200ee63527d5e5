"""One MQTT connection from login to its end: subscriptions, acknowledgements, publishing."""

from __future__ import annotations

import asyncio
import math
import socket
import ssl
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from msgspec import Struct
from paho.mqtt.client import Client, ConnectFlags, DisconnectFlags
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode
from paho.mqtt.subscribeoptions import SubscribeOptions

from adapters.mqtt.client import BulkClient
from adapters.mqtt.config import MqttOptions
from adapters.mqtt.dial import dial
from adapters.mqtt.packets import Puback, Publishes, write_publish
from adapters.mqtt.reasons import login_refused
from adapters.mqtt.wire import CLOSED, Ending, Wire, lost
from canonical.errors import TransientError

__all__ = ["Connection", "Handlers", "Identity", "Terms", "connect"]

T = TypeVar("T")
GOODBYE_S = 1.0
LARGEST_PACKET_BYTES = 268_435_460
LARGEST_MID = 65_535


class Identity(Struct, frozen=True, kw_only=True):
    """Who we are to the broker. ``persistent``: it keeps our session while we are away."""

    client_id: str
    persistent: bool


class Terms(Struct, frozen=True, kw_only=True):
    """What the broker said when it let us in. ``maximum_packet``: bytes; ``expiry_s``: if not as we asked."""

    session_present: bool = False
    receive_maximum: int = 65_535
    maximum_qos: int = 2
    retain_available: bool = True
    maximum_packet: int = LARGEST_PACKET_BYTES
    expiry_s: int | None = None


class Handlers(Struct, frozen=True, kw_only=True):
    """Whom a connection tells, in the loop. What they raise ends the connection.

    ``logged_in``: before anything else comes. ``acknowledged``: the broker's answer to a publish.
    """

    logged_in: Callable[[Connection], None] = lambda connection: None
    publishes: Callable[[Connection, Publishes], None] = lambda connection, publishes: None
    acknowledged: Callable[[Puback], None] = lambda acknowledged: None


async def connect(
    options: MqttOptions, tls: ssl.SSLContext | None, identity: Identity, handlers: Handlers
) -> Connection:
    """A connection that the broker has let in, within ``connect_timeout``.

    Raises TransientError(outage=True), or Unauthorized when the broker refuses our credentials.
    """
    step = "TLS" if tls else "TCP"
    try:
        async with asyncio.timeout(options.connect_timeout):
            connected = await dial(options.host, options.port, tls)
            step = "login"
            connection = Connection(connected, options, identity, handlers)
            try:
                await connection.login()
            except BaseException:
                connection.abandon("the login did not succeed")
                raise
            return connection
    except TimeoutError:
        where = f"{options.host}:{options.port}"
        message = f"no answer from {where} within {options.connect_timeout:g} s ({step})"
        raise TransientError(message, code="timeout", outage=True) from None


class Connection:
    """A generation: made once by ``connect``, over when ``ended`` is done."""

    def __init__(
        self, connected: socket.socket, options: MqttOptions, identity: Identity, handlers: Handlers
    ) -> None:
        self._options = options
        self._identity = identity
        self._handlers = handlers
        self._version5 = options.protocol == "5"
        self._client = BulkClient(
            connected,
            client_id=identity.client_id,
            version5=self._version5,
            persistent=identity.persistent,
        )
        self._wire = Wire(
            connected,
            self._client,
            keepalive_s=math.ceil(options.keepalive),
            properties=self._version5,
            publishes=self._on_publishes,
            acknowledged=handlers.acknowledged,
        )
        self._leaving = False
        self._outgoing: list[bytes] = []
        self._last_mid = 0
        self._answers: dict[int, asyncio.Future[list[int]]] = {}
        self._login: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self.terms = Terms()

    @property
    def ended(self) -> asyncio.Future[Ending]:
        """Done, with the reason, once the connection is over."""
        return self._wire.ended

    @property
    def alive(self) -> bool:
        """Whether acknowledgements and publishes still go out."""
        return not self._leaving and not self.ended.done()

    async def login(self) -> None:
        """Sends CONNECT and waits for the broker's answer. The caller sets the deadline."""
        options, client = self._options, self._client
        client.on_connect = self._on_connect
        client.on_disconnect = self._on_disconnect
        client.on_subscribe = self._on_subscribe
        client.on_unsubscribe = self._on_unsubscribe
        if options.username is not None:
            password = options.password.get_secret_value() if options.password else None
            client.username_pw_set(options.username, password)
        where = (options.host, options.port, self._wire.keepalive_s)
        if self._version5:
            clean = not self._identity.persistent
            client.connect_async(*where, clean_start=clean, properties=self._connect_properties())
        else:
            client.connect_async(*where)
        self._wire.start()
        client.reconnect()
        self._wire.flush()
        await asyncio.wait([self._login, self.ended], return_when=asyncio.FIRST_COMPLETED)
        if not self._login.done():
            error = self.ended.result().error
            older = self._version5 and error.code == CLOSED
            hint = "; if it speaks MQTT 3.1.1 only, set protocol: '3.1.1'" if older else ""
            raise lost(f"{error.message} instead of answering the login{hint}")
        self._login.result()

    def _connect_properties(self) -> Properties:
        persistent = self._identity.persistent
        properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
        properties.SessionExpiryInterval = math.ceil(self._options.session_expiry) if persistent else 0
        properties.ReceiveMaximum = self._options.receive_maximum
        return properties

    async def close(self) -> None:
        """Says goodbye, so that the broker has all our acknowledgements; takes a second at most."""
        if self.alive:
            self._leaving = True
            self._client.say_goodbye()
            self._wire.flush()
            self._wire.resume()
            await asyncio.wait([self.ended], timeout=GOODBYE_S)
        self.abandon("closed by us")

    def abandon(self, why: str) -> None:
        """Ends at once, without a word to the broker."""
        self._wire.end(Ending(error=TransientError(why, code="connection_given_up", outage=True)))

    def acknowledge(self, packets: bytes) -> None:
        """Sends PUBACK and PUBREC packets, as they are; does nothing when the connection is over."""
        if packets and self.alive:
            self._client.send(packets)
            self._wire.flush()

    def publish(self, topic: str, payload: bytes, *, qos: int, retain: bool, properties: bytes) -> int:
        """Queues a message; ``flush`` sends it. Returns its mid, for ``handlers.acknowledged``; 0 at QoS 0.

        Not for a connection that subscribes: paho numbers its packets by itself.
        """
        mid = 0
        if qos:
            mid = self._last_mid = self._last_mid % LARGEST_MID + 1
        packet = write_publish(
            topic.encode(), payload, mid=mid, qos=qos, retain=retain, properties=properties
        )
        self._outgoing.append(packet)
        return mid

    def flush(self) -> None:
        """Sends what is queued, as far as the socket takes it; the rest follows by itself."""
        if self.alive and self._outgoing:
            self._client.send(b"".join(self._outgoing))
            self._outgoing.clear()
            self._wire.flush()

    def pause(self) -> None:
        """Stops reading: the broker has to wait."""
        self._wire.pause()

    def resume(self) -> None:
        """Reads on."""
        self._wire.resume()

    async def subscribe(self, filters: Sequence[tuple[str, int]]) -> list[int]:
        """The broker's reason code for each (filter, QoS): the granted QoS, or 128 and above for a refusal.

        In MQTT 5, retained messages come only for filters that the session did not have yet. Raises
        TransientError when no answer comes.
        """
        if self._version5:
            _, mid = self._client.subscribe([(topic, _options(qos)) for topic, qos in filters])
        else:
            _, mid = self._client.subscribe(list(filters))
        return await self._answer(mid)

    async def unsubscribe(self, filters: Sequence[str]) -> None:
        """Returns once the broker has confirmed. Raises TransientError when no answer comes."""
        _, mid = self._client.unsubscribe(list(filters))
        await self._answer(mid)

    async def _answer(self, mid: int | None) -> list[int]:
        answer: asyncio.Future[list[int]] = asyncio.get_running_loop().create_future()
        if mid is not None:
            self._answers[mid] = answer
        self._wire.flush()
        try:
            async with asyncio.timeout(self._options.connect_timeout):
                return await self._unless_ended(answer)
        except TimeoutError:
            raise TransientError("no answer to a subscription", code="timeout", outage=True) from None
        finally:
            self._answers.pop(mid or 0, None)

    async def _unless_ended(self, answer: asyncio.Future[T]) -> T:
        """The answer; raises the ending's error when the connection is over first."""
        waited: list[asyncio.Future[Any]] = [answer, self.ended]
        await asyncio.wait(waited, return_when=asyncio.FIRST_COMPLETED)
        if answer.done():
            return answer.result()
        raise self.ended.result().error

    # ── what the wire and paho call; what these raise ends the connection ───────────────────────

    def _on_publishes(self, publishes: Publishes) -> None:
        if not self._leaving:
            self._handlers.publishes(self, publishes)

    def _on_connect(
        self,
        client: Client,
        data: Any,
        flags: ConnectFlags,
        reason: ReasonCode,
        properties: Properties | None,
    ) -> None:
        if self._login.done():
            return
        if reason.is_failure:
            self._login.set_exception(login_refused(reason.value, self._options))
            return
        said: dict[str, Any] = properties.json() if properties else {}  # type: ignore[no-untyped-call]
        self._wire.judge_by(said.get("ServerKeepAlive") or self._wire.keepalive_s)
        self.terms = Terms(
            session_present=flags.session_present,
            receive_maximum=said.get("ReceiveMaximum", 65_535),
            maximum_qos=said.get("MaximumQoS", 2),
            retain_available=bool(said.get("RetainAvailable", 1)),
            maximum_packet=said.get("MaximumPacketSize", LARGEST_PACKET_BYTES),
            expiry_s=said.get("SessionExpiryInterval"),
        )
        self._handlers.logged_in(self)
        self._login.set_result(None)

    def _on_disconnect(
        self,
        client: Client,
        data: Any,
        flags: DisconnectFlags,
        reason: ReasonCode,
        properties: Properties | None,
    ) -> None:
        self._wire.end(Ending(error=lost(f"the connection failed: {reason}")))

    def _on_subscribe(
        self,
        client: Client,
        data: Any,
        mid: int,
        reasons: list[ReasonCode],
        properties: Properties | None,
    ) -> None:
        self._answered(mid, [reason.value for reason in reasons])

    def _on_unsubscribe(
        self,
        client: Client,
        data: Any,
        mid: int,
        reasons: list[ReasonCode],
        properties: Properties | None,
    ) -> None:
        self._answered(mid, [])

    def _answered(self, mid: int, reasons: list[int]) -> None:
        answer = self._answers.get(mid)
        if answer is not None and not answer.done():
            answer.set_result(reasons)


def _options(qos: int) -> SubscribeOptions:
    return SubscribeOptions(qos=qos, retainHandling=SubscribeOptions.RETAIN_SEND_IF_NEW_SUB)
