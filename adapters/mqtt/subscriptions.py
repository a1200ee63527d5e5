"""Makes the broker's idea of our subscriptions agree with the configuration.

A persistent session keeps its subscriptions, also those that the configuration no longer has. So
the filters that a session may have are remembered in the adapter's folder, written before they are
subscribed and after they are unsubscribed; it is about the broker's session, hence not part of the
journal.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from msgspec import Struct

from adapters.mqtt.connection import Connection, Identity
from adapters.mqtt.reasons import REFUSED, reason_text
from canonical.errors import TransientError
from canonical.spec import Log

__all__ = ["Subscriptions"]

FILE = "mqtt-session.json"


class Refusal(Struct, frozen=True):
    """A filter that the broker does not grant as asked, and why."""

    topic: str
    reason: str


class Subscriptions:
    """What is wanted (filter → QoS), and what the session may have."""

    def __init__(
        self,
        wanted: Mapping[str, int],
        *,
        url: str,
        identity: Identity,
        folder: Path,
        version5: bool,
        log: Log,
    ) -> None:
        self._wanted = dict(wanted)
        self._session = [url, identity.client_id]
        self._path = folder / FILE
        self._version5 = version5
        self._log = log
        self._remembered: set[str] | None = None

    async def establish(self, connection: Connection) -> Sequence[Refusal]:
        """Unsubscribes what is no longer wanted, subscribes what is; returns what the broker refused.

        Raises TransientError when the broker does not answer, or refuses every filter.
        """
        present = connection.terms.session_present
        remembered = await self._recall() if present else set()
        gone = sorted(remembered - set(self._wanted))
        if gone:
            await connection.unsubscribe(gone)
            self._log.info("mqtt_unsubscribed", filters=gone)
        # In 3.1.1 subscribing again sends retained messages again, so only what is new.
        new = [pair for pair in self._wanted.items() if self._version5 or pair[0] not in remembered]
        await self._remember(remembered | set(self._wanted))
        refusals = await self._subscribe(connection, new)
        if self._wanted and len(refusals) == len(self._wanted):
            raise TransientError(
                f"the broker refuses every subscription: {refusals[0].topic!r} {refusals[0].reason}; "
                "check subscribe: and what the broker permits this user",
                code="subscription_refused",
                outage=True,
            )
        await self._remember(set(self._wanted) - {refusal.topic for refusal in refusals})
        return refusals

    async def _subscribe(self, connection: Connection, filters: Sequence[tuple[str, int]]) -> list[Refusal]:
        if not filters:
            return []
        reasons = await connection.subscribe(filters)
        refusals = []
        for (topic, qos), reason in zip(filters, reasons, strict=True):
            if reason >= REFUSED:
                refusals.append(Refusal(topic, reason_text(reason)))
            elif reason < qos:
                self._log.error(
                    "mqtt_qos_downgraded",
                    filter=topic,
                    asked=qos,
                    granted=reason,
                    effect="messages are not redelivered; the broker's policy decides",
                )
        for refusal in refusals:
            self._log.error("mqtt_subscription_refused", filter=refusal.topic, reason=refusal.reason)
        return refusals

    async def _recall(self) -> set[str]:
        if self._remembered is None:
            self._remembered = await asyncio.to_thread(self._read)
        return self._remembered

    async def _remember(self, filters: set[str]) -> None:
        if filters != self._remembered:
            await asyncio.to_thread(self._write, filters)
            self._remembered = filters

    def _read(self) -> set[str]:
        try:
            kept = json.loads(self._path.read_bytes())
            return set(kept["filters"]) if kept["session"] == self._session else set()
        except FileNotFoundError:
            return set()
        except (OSError, ValueError, KeyError, TypeError) as error:
            self._log.warning("mqtt_session_file_unreadable", path=str(self._path), reason=str(error))
            return set()

    def _write(self, filters: set[str]) -> None:
        """Replaces the file in one step, on the disk before it returns."""
        text = json.dumps({"session": self._session, "filters": sorted(filters)})
        self._path.parent.mkdir(parents=True, exist_ok=True)
        draft = self._path.with_suffix(".new")
        with draft.open("w") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(self._path)
