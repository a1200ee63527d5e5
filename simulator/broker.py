"""The MQTT broker of Brno: amqtt in this process, so that the demo needs nothing installed.

MQTT 3.1.1, one listener on loopback, user name and password, sessions that outlive a connection.
The plugin mends what amqtt 0.12 lacks of QoS 1: a message whose PUBACK had not come when the
connection ended is kept and sent again (https://github.com/Yakifo/amqtt/issues/401; may go when that
is closed).
"""

from __future__ import annotations

import hmac
from collections import OrderedDict
from dataclasses import dataclass
from typing import Any

from amqtt.broker import Broker
from amqtt.plugins.base import BaseAuthPlugin

from simulator.serving import LOOPBACK, free_port

__all__ = ["Gatekeeper", "MqttBroker"]

_ATTEMPTS = 5


class _InFlight(OrderedDict[int, Any]):
    """A session's messages on their way out; one removed without its PUBACK waits for the next connection."""

    def __init__(self, session: Any) -> None:
        super().__init__(session.inflight_out)
        self._session = session

    def pop(self, key: int, default: Any = None) -> Any:
        message = super().pop(key, default)
        if message is not None and message.puback_packet is None:
            self._session.retained_messages.put_nowait(message)
        return message


class Gatekeeper(BaseAuthPlugin):  # type: ignore[misc]  # amqtt ships no types
    """Lets in who knows the password, and keeps what was not acknowledged."""

    @dataclass
    class Config:
        """Accounts: user name → password."""

        accounts: dict[str, str]

    async def authenticate(self, *, session: Any) -> bool:
        """Whether user name and password are right."""
        expected = self.context.config.accounts.get(session.username)
        return expected is not None and hmac.compare_digest(str(session.password).encode(), expected.encode())

    async def on_broker_client_connected(self, *, client_id: str, client_session: Any) -> None:
        """Called by amqtt before the client's first packet is handled."""
        if not isinstance(client_session.inflight_out, _InFlight):
            client_session.inflight_out = _InFlight(client_session)


class MqttBroker:
    """The running broker; ``port`` is known once it is open."""

    def __init__(self, accounts: dict[str, str]) -> None:
        self._accounts = accounts
        self._broker: Any = None
        self.port = 0

    async def open(self) -> None:
        """Listens on a free port. Raises OSError when none could be had."""
        for attempt in range(1, _ATTEMPTS + 1):
            self.port = free_port()
            self._broker = Broker(self._settings())
            try:
                await self._broker.start()
            except Exception as error:  # amqtt wraps what the socket raised
                if attempt == _ATTEMPTS:
                    raise OSError(f"the MQTT broker found no free port: {error}") from error
            else:
                return

    def _settings(self) -> dict[str, Any]:
        return {
            "listeners": {"default": {"type": "tcp", "bind": f"{LOOPBACK}:{self.port}"}},
            "plugins": {"simulator.broker.Gatekeeper": {"accounts": self._accounts}},
        }

    def subscribers(self, topic: str) -> list[str]:
        """The client ids whose subscriptions match the topic, connected or not."""
        found = []
        for pattern, sessions in self._broker.subscriptions.items():
            if _matches(topic, pattern):
                found += [session.client_id for session, _ in sessions]
        return found

    async def close(self) -> None:
        """Ends all sessions and stops listening."""
        if self._broker is not None:
            await self._broker.shutdown()


def _matches(topic: str, pattern: str) -> bool:
    """Whether a topic filter matches (MQTT 3.1.1, 4.7)."""
    levels, wanted = topic.split("/"), pattern.split("/")
    for index, one in enumerate(wanted):
        if one == "#":
            return True
        if index >= len(levels) or one not in ("+", levels[index]):
            return False
    return len(levels) == len(wanted)
