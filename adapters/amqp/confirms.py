"""What the broker says of published messages, read from the stream by ourselves.

The library hands every frame through three tasks and gives each message a future; that costs more than
all the rest of a delivery. So confirms (basic.ack, basic.nack) and returned messages of our one
publishing channel are taken out of the bytes as they come, in order, and the library never sees them.
Source: AMQP 0-9-1, 2.3.5 and 4.2 (frames), 1.8.3 (basic), and RabbitMQ's publisher confirms.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence

from pamqp.header import ContentHeader

__all__ = ["HEARTBEAT", "Confirms", "Flight"]

HEARTBEAT = b"\x08\x00\x00\x00\x00\x00\x00\xce"
HEAD_BYTES, FRAME_BYTES = 7, 8
"""Of a frame's head, and of head and end together (4.2.3)."""
METHOD, HEADER, BODY = 1, 2, 3
KNOWN = b"\x01\x02\x03\x08"
ACK, NACK, RETURN = b"\x00\x3c\x00\x50", b"\x00\x3c\x00\x78", b"\x00\x3c\x00\x32"
LARGEST_FRAME_BYTES = 16_777_216
SIGN_OF_LIFE_S = 1.0


class Flight:
    """Messages that were published together, by their ids, with the tags from ``first`` on.

    ``done`` once all are answered, or none will be any more (``cut``); ``returned`` says why a message
    came back.
    """

    def __init__(self, first: int, ids: Sequence[str]) -> None:
        self.first, self.last = first, first + len(ids) - 1
        self.ids = ids
        self.returned: dict[str, str] = {}
        self.cut = False
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()


class Confirms:
    """Delivery tags of one channel, and what became of each while its flight is in the air."""

    def __init__(self) -> None:
        self._channel: bytes | None = None
        self._published = 0
        self._low = 0
        self._beyond: set[int] = set()
        self._refused: set[int] = set()
        self._flights: deque[Flight] = deque()
        self._rest = b""
        self._needed = 0
        self._blind = False
        self._reply = ""
        self._fed_at = 0.0

    def watch(self, channel: int) -> None:
        """From now on reads what comes on this channel, which must not consume."""
        self._channel = channel.to_bytes(2, "big")

    # ── what the publisher asks ─────────────────────────────────────────────────────────────────

    def take_off(self, ids: Sequence[str]) -> Flight:
        """Gives the next messages their tags. To be called in the order in which they are written."""
        flight = Flight(self._published + 1, ids)
        self._published += len(ids)
        self._flights.append(flight)
        return flight

    def taken(self, tag: int) -> bool | None:
        """Whether the broker has the message; None while it has not said so."""
        if tag in self._refused:
            return False
        return True if tag <= self._low or tag in self._beyond else None

    def cut(self) -> None:
        """The connection is over: whoever waits has its answer, or gets none."""
        for flight in self._flights:
            if not flight.done.done():
                flight.cut = True
                flight.done.set_result(None)

    def all_taken(self, flight: Flight) -> bool:
        """Whether the broker has every message of a flight, and has sent none back."""
        return flight.last <= self._low and not self._refused and not flight.returned

    def land(self, flight: Flight) -> None:
        """Forgets a flight: nobody waits for it any more, answered or not."""
        if flight in self._flights:
            self._flights.remove(flight)
        if self._refused:
            self._refused = {tag for tag in self._refused if not flight.first <= tag <= flight.last}

    # ── what the stream says ────────────────────────────────────────────────────────────────────

    def strip(self, data: bytes, now: float) -> bytes:
        """The bytes without our channel's answers, in whole frames; ``now`` is the loop's time."""
        if self._channel is None and not self._rest:
            return data
        if self._blind:
            return data
        data = self._rest + data if self._rest else data
        if len(data) < self._needed:
            self._rest = data
            return b""
        kept = self._frames(data)
        if kept:
            self._fed_at = now
        elif now - self._fed_at > SIGN_OF_LIFE_S:  # the library counts frames to tell that a broker is alive
            self._fed_at = now
            return HEARTBEAT
        return kept

    def _frames(self, data: bytes) -> bytes:
        kept: list[bytes] = []
        start = at = 0
        end, channel = len(data), self._channel
        self._needed = 0
        while end - at >= HEAD_BYTES:
            size = int.from_bytes(data[at + 3 : at + HEAD_BYTES], "big") + FRAME_BYTES
            if data[at] not in KNOWN or size > LARGEST_FRAME_BYTES:
                self._blind = True  # no AMQP: whoever reads next will say so
                at = end
                break
            if at + size > end:
                self._needed = size
                break
            if data[at + 1 : at + 3] == channel and self._ours(data, at, size):
                kept.append(data[start:at])
                start = at + size
            at += size
        kept.append(data[start:at])
        self._rest = data[at:]
        self._landed()
        return b"".join(kept)

    def _ours(self, data: bytes, at: int, size: int) -> bool:
        """Reads an answer; False for a frame that is the library's."""
        kind, body = data[at], at + HEAD_BYTES
        if kind == METHOD:
            method = data[body : body + 4]
            if method in (ACK, NACK):
                tag = int.from_bytes(data[body + 4 : body + 12], "big")
                self._answered(tag, multiple=bool(data[body + 12] & 1), refused=method == NACK)
                return True
            if method == RETURN:
                text = body + 6
                self._reply = data[text + 1 : text + 1 + data[text]].decode("utf-8", "replace")
                return True
            return False
        if kind == HEADER:
            header = ContentHeader()
            header.unmarshal(data[body : at + size - 1])  # as we wrote it
            message_id = header.properties.message_id or ""
            for flight in self._flights:
                if message_id in flight.ids:
                    flight.returned[message_id] = self._reply
                    break
        return kind in (HEADER, BODY)

    def _answered(self, tag: int, *, multiple: bool, refused: bool) -> None:
        tags = range(self._low + 1, tag + 1) if multiple else range(tag, tag + 1)
        if refused:
            self._refused.update(each for each in tags if each not in self._beyond)
        if multiple:
            self._low = max(self._low, tag)
            if self._beyond:
                self._beyond = {each for each in self._beyond if each > self._low}
        elif tag == self._low + 1:
            self._low = tag
        elif tag > self._low:
            self._beyond.add(tag)
        while self._beyond and self._low + 1 in self._beyond:
            self._low += 1
            self._beyond.discard(self._low)

    def _landed(self) -> None:
        while self._flights and self._flights[0].last <= self._low:
            flight = self._flights.popleft()
            if not flight.done.done():
                flight.done.set_result(None)
