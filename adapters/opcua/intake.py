"""Notifications → raw messages, and everything that is written down beside them: gaps, status, tags refused.

All of it goes through one buffer in the order in which it happened, so that the journal tells the story.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Literal

from msgspec.structs import replace

from adapters.opcua.buffer import Arrival, Buffer
from adapters.opcua.builtin import WireError, instant
from adapters.opcua.columns import Columns, read_columns
from adapters.opcua.config import OpcuaConfig
from adapters.opcua.durable import Durable, encode_durable
from adapters.opcua.latest import Latest
from adapters.opcua.notification import Publication
from adapters.opcua.quality import overflowed, quality
from adapters.opcua.reading import (
    CONTENT_TYPE,
    UNREADABLE,
    Gap,
    Note,
    Notification,
    Reading,
    encode_body,
)
from adapters.opcua.subscribe import Subscribed
from adapters.opcua.writing import Items, write_table
from canonical.event import new_id
from canonical.ports import Attribute, RawMessage
from canonical.spec import AdapterContext

__all__ = ["Intake", "Status"]

Status = Literal["online", "stale", "offline"]
NO_SESSION = "none"


class Intake:
    """Where a connection's notifications become raw messages. Lives as long as the source."""

    def __init__(self, settings: OpcuaConfig, context: AdapterContext, buffer: Buffer) -> None:
        self._context, self._buffer = context, buffer
        self._labels = [(tag.node, tag.tag, settings.equipment_of(tag)) for tag in settings.tags]
        self._items = Items(self._labels, {})
        self._everywhere = sorted(
            {settings.equipment} if settings.equipment else {e for _, _, e in self._labels}
        )
        self._latest = Latest()
        self._refused: dict[int, int] = {}
        self._announced: Status | None = None
        self._units: Mapping[int, str] = {}
        self.session = NO_SESSION
        self.durable: Durable | None = None
        self.heard_at: datetime | None = None
        self._loss: tuple[datetime, str] | None = None

    def remember(self, durable: Durable | None) -> None:
        """Starts from where the last process stopped."""
        self.durable = durable
        self.heard_at = durable.heard_at if durable else None

    def begin(self, subscribed: Subscribed) -> None:
        """A subscription stands; what was lost until now is written down with its first notification."""
        self.durable, self._units = subscribed.durable, subscribed.units
        self._items = Items(self._labels, self._units)
        if subscribed.lost_by is not None and self.heard_at is not None:
            self._loss = (self.heard_at, subscribed.lost_by)

    def forget(self) -> None:
        """The subscription is gone, or must not be taken up again."""
        if self.durable is not None:
            self.durable = replace(self.durable, subscription_id=0)

    async def deliver(self, publication: Publication) -> None:
        """Takes one notification in; returns when there was room for it."""
        now = self._context.clock()
        self._context.health.connected = True
        await self._came_online(publication, now)
        if not publication.keep_alive:
            await self._values(publication, now)
        self.heard_at = now

    async def missed(self, count: int, last: int) -> None:
        """``count`` notifications up to ``last`` were sent, did not arrive, and cannot be sent again."""
        now = self._context.clock()
        self._context.log.warning("opcua_notifications_lost", count=count)
        gap = Gap(from_=_text(self.heard_at or now), to=_text(now), reason="notification_lost")
        self.durable = self._known.at(last, now)
        await self._note("online", "notification_lost", now, gap=gap)

    async def lost(self, reason: str) -> None:
        """Values no longer come: stale, or offline when they never did. Written down once."""
        if self._announced in ("stale", "offline"):
            return
        self._announced = "stale" if self._announced else "offline"
        await self._note(self._announced, reason, self._context.clock())

    async def refused(self, codes: Mapping[int, int]) -> None:
        """Takes note of the tags that the server refuses (handle → StatusCode).

        Each gets a bad reading without a value, once, until it is watched again or refused otherwise.
        """
        now = self._context.clock()
        new = {handle: code for handle, code in codes.items() if self._refused.get(handle) != code}
        self._refused = dict(codes)
        if self.durable is not None:
            self.durable = self.durable.without(codes)
        if new:
            await self._put(self._refusal(new, now))
        self._describe()

    def _describe(self) -> None:
        """Health in words: how many tags are watched, and which are not."""
        total = len(self._labels)
        names = [self._labels[handle][1] for handle in sorted(self._refused)]
        some = ", ".join(names[:5]) + (" …" if len(names) > 5 else "")
        refused = f"; refused: {some}" if names else ""
        self._context.health.detail = f"{total - len(names)} of {total} tags are watched{refused}"

    async def _came_online(self, publication: Publication, now: datetime) -> None:
        """Status and gap, as soon as the new connection is seen to work."""
        if self._loss is None:
            if self._announced != "online":
                self._announced = "online"
                await self._note("online", "connected", now, last_seq=publication.sequence)
            return
        since, reason = self._loss
        self._loss, self._announced = None, "online"
        self._context.log.warning("opcua_gap", since=_text(since), until=_text(now), reason=reason)
        gap = Gap(from_=_text(since), to=_text(now), reason=reason)
        await self._note("online", reason, now, gap=gap, last_seq=publication.sequence)

    async def _values(self, publication: Publication, now: datetime) -> None:
        raw_id = f"{self._known.epoch}-{publication.sequence:08d}"
        try:
            columns = read_columns(publication.data)
        except WireError as error:
            await self._unreadable(raw_id, publication, now, error)
            return
        seen = set(columns.statuses)
        if any(map(overflowed, seen)):
            await self._overflowed(columns, now)
        self._latest.add(columns.handles, columns.source_ticks)
        if columns.handles and max(columns.handles) >= len(self._labels):
            columns = columns.below(len(self._labels))
        if columns.handles:
            await self._put(self._written(raw_id, publication.sequence, columns, now), publication.sequence)
        if any(quality(status) == "good" for status in seen):
            self._context.health.last_good_at = now

    def _written(self, raw_id: str, sequence: int, columns: Columns, now: datetime) -> RawMessage:
        body = write_table(
            columns,
            self._items.of(columns.handles),
            session=self.session,
            subscription=self._subscription,
            sequence=sequence,
        )
        return self._message(raw_id, now, body, {"sequence": sequence, "count": len(columns.handles)})

    async def _unreadable(
        self, raw_id: str, publication: Publication, now: datetime, error: WireError
    ) -> None:
        """Keeps the bytes: they become a dead letter that says what is wrong with them."""
        raw = RawMessage(
            adapter=self._context.name,
            id=raw_id,
            body=b"".join(publication.data),
            received_at=now,
            content_type=UNREADABLE,
            attributes={"sequence": publication.sequence, "fault": str(error)},
        )
        await self._put(raw, publication.sequence)

    def _refusal(self, codes: Mapping[int, int], now: datetime) -> RawMessage:
        """Bad readings without a value."""
        readings = [
            Reading(
                node=node,
                tag=tag,
                equipment=equipment,
                status=code,
                source_time=_text(now),
                uom=self._units.get(handle),
            )
            for handle, code in codes.items()
            for node, tag, equipment in (self._labels[handle],)
        ]
        body = Notification(
            session=self.session, subscription=self._subscription, sequence=0, values=readings
        )
        return self._message(new_id(), now, encode_body(body), {"sequence": 0, "count": len(readings)})

    async def _overflowed(self, columns: Columns, now: datetime) -> None:
        """Writes down, per equipment, between which values the server's full queue lost others."""
        found: dict[str, list[tuple[str, str, str]]] = {}
        last_ticks = self._latest.ticks()
        for handle, status, ticks in zip(
            columns.handles, columns.statuses, columns.source_ticks, strict=True
        ):
            before = last_ticks.get(handle, 0)
            last_ticks[handle] = ticks
            if overflowed(status) and handle < len(self._labels):
                _, tag, equipment = self._labels[handle]
                until = instant(ticks) or _text(now)
                since = instant(min(before, ticks)) or _text(self.heard_at or now)
                found.setdefault(equipment, []).append((since, until, tag))
        for equipment, lost in found.items():
            gap = Gap(
                from_=min(since for since, _, _ in lost),
                to=max(until for _, until, _ in lost),
                reason="queue_overflow",
                tags=sorted({tag for _, _, tag in lost}),
            )
            await self._note("online", "queue_overflow", now, gap=gap, equipment=[equipment])

    async def _note(
        self,
        status: Status,
        reason: str,
        now: datetime,
        *,
        gap: Gap | None = None,
        last_seq: int | None = None,
        equipment: list[str] | None = None,
    ) -> None:
        if last_seq is None and self.durable is not None:
            last_seq = self.durable.last
        note = Note(
            session=self.session,
            status=status,
            at=_text(now),
            reason=reason,
            equipment=equipment or self._everywhere,
            last_seq=last_seq,
            gap=gap,
        )
        said = {"status": status, "reason": reason}
        await self._put(self._message(new_id(), now, encode_body(note), said))

    @property
    def _subscription(self) -> int:
        return self.durable.subscription_id if self.durable else 0

    def _message(
        self, raw_id: str, now: datetime, body: bytes, attributes: Mapping[str, Attribute]
    ) -> RawMessage:
        return RawMessage(
            adapter=self._context.name,
            id=raw_id,
            body=body,
            received_at=now,
            content_type=CONTENT_TYPE,
            attributes={"session": self.session, **attributes},
        )

    @property
    def _known(self) -> Durable:
        assert self.durable is not None  # a notification comes with a subscription
        return self.durable

    async def _put(self, raw: RawMessage, sequence: int | None = None) -> None:
        """Waits for room; only then does a notification count as taken in."""
        durable = self.durable
        if durable is not None and sequence is not None:
            durable = durable.at(sequence, raw.received_at)
        await self._buffer.put(
            Arrival(
                raw=raw,
                epoch=durable.epoch if durable else "",
                sequence=sequence,
                state=encode_durable(durable) if durable else None,
            )
        )
        self.durable = durable


def _text(moment: datetime) -> str:
    return moment.isoformat().replace("+00:00", "Z")
