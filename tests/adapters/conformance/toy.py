"""A toy protocol with a server, a source and a sink that can each be wrong in a chosen way.

Lines over TCP. The server sends ``msg ID BODY`` and expects ``ack ID``; what is not acknowledged it sends
again on the next connection. It takes ``put KEY`` and answers ``ok KEY`` or ``no KEY``, and ``ping``
with ``pong``.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime
from functools import partial

from canonical.errors import CrossplantError, PermanentError, TransientError
from canonical.event import Event, new_id
from canonical.ports import Accepted, Delivery, Failed, Inbound, Outcome, RawMessage, SinkOutcome, Unknown
from canonical.spec import AdapterContext, Guarantees, SinkTraits

__all__ = ["ToyServer", "ToySink", "ToySinkHarness", "ToySource", "ToySourceHarness"]

WINDOW = 50
PING_S, SILENCE_S, PAUSE_S, TIMEOUT_S = 0.05, 0.4, 0.05, 0.5


class ToyServer:
    """Keeps messages until they are acknowledged, and all keys that were put, over its own restarts."""

    def __init__(self) -> None:
        self.waiting: dict[int, str] = {}
        self.stored: list[str] = []
        self.numbers = 0
        self.port = 0
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self._changed = asyncio.Event()

    async def start(self) -> tuple[str, int]:
        if self._server is None:
            self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port, limit=1 << 20)
            self.port = self._server.sockets[0].getsockname()[1]
        return "127.0.0.1", self.port

    async def stop(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None
        for writer in list(self._writers):
            writer.transport.abort()

    def publish(self, count: int, size_bytes: int) -> list[str]:
        marks = []
        for _ in range(count):
            self.numbers += 1
            marks.append(f"m{self.numbers}")
            self.waiting[self.numbers] = marks[-1].ljust(size_bytes, ".")
        self._changed.set()
        return marks

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        sending = asyncio.create_task(self._send(writer))
        try:
            while line := (await reader.readline()).decode().split():
                match line:
                    case ["ack", number]:
                        self.waiting.pop(int(number), None)
                        self._changed.set()
                    case ["put", key] if key.startswith("poison"):
                        writer.write(f"no {key}\n".encode())
                    case ["put", key]:
                        self.stored.append(key)
                        writer.write(f"ok {key}\n".encode())
                    case _:
                        writer.write(b"pong\n")
        except OSError:
            pass
        finally:
            sending.cancel()
            self._writers.discard(writer)
            writer.close()

    async def _send(self, writer: asyncio.StreamWriter) -> None:
        sent: set[int] = set()
        while True:
            for number, body in list(self.waiting.items())[:WINDOW]:
                if number not in sent:
                    sent.add(number)
                    writer.write(f"msg {number} {body}\n".encode())
            self._changed.clear()
            await self._changed.wait()


class ToySource:
    """Right, unless ``fault`` names what is wrong with it."""

    def __init__(self, context: AdapterContext, host: str, port: int, fault: str = "") -> None:
        self.context, self.address, self.fault = context, (host, port), fault
        self.arrived: asyncio.Queue[Inbound | None] = asyncio.Queue()
        self.ids: dict[str, str] = {}
        self.task: asyncio.Task[None] | None = None
        self.closed = False
        if fault == "connects when made":
            self.task = asyncio.create_task(self._run())

    async def open(self) -> None:
        for raw in await self.context.history(1_000):
            self.ids[str(raw.attributes["number"])] = raw.id
        if self.fault == "open waits for the server":
            await self._until_reachable()
        if self.fault == "open raises without a server":
            (await asyncio.open_connection(*self.address))[1].close()
        self.task = asyncio.create_task(self._run())
        if self.fault == "leaves a task":
            self.task = asyncio.create_task(asyncio.sleep(0))
            self.lost = asyncio.create_task(self._run())
        if self.fault == "leaves a thread":
            threading.Thread(target=threading.Event().wait, args=(8.0,), daemon=True).start()
        if self.fault == "says connected":
            self.context.health.connected = True

    async def _until_reachable(self) -> None:
        while True:
            with contextlib.suppress(OSError):
                (await asyncio.open_connection(*self.address))[1].close()
                return
            await asyncio.sleep(PAUSE_S)

    async def receive(self) -> AsyncIterator[Inbound]:
        while not self.closed:
            try:
                inbound = await self.arrived.get()
            except asyncio.CancelledError:
                if self.fault == "swallows cancellation":
                    return
                raise
            if inbound is None:
                return
            yield inbound

    async def close(self) -> None:
        if self.fault == "close once" and self.closed:
            raise RuntimeError("closed twice")
        self.closed = self.fault != "receive goes on"
        if self.fault != "receive goes on":
            self.arrived.put_nowait(None)
        if self.task is not None:
            self.task.cancel()
            await asyncio.wait([self.task])

    async def _run(self) -> None:
        while True:
            with contextlib.suppress(OSError, TimeoutError, ValueError):
                await self._one_connection()
            if self.fault == "never reconnects":
                await asyncio.Event().wait()
            await asyncio.sleep(PAUSE_S)

    async def _one_connection(self) -> None:
        reader, writer = await asyncio.open_connection(*self.address, limit=1 << 20)
        pinging = asyncio.create_task(self._ping(writer))
        silence_s = None if self.fault == "does not notice silence" else SILENCE_S
        try:
            while line := await self._line(reader, silence_s):
                self.context.health.connected = True
                if line[0] == "msg":
                    self._take(writer, line[1], line[2])
        finally:
            pinging.cancel()
            if self.fault != "says connected":
                self.context.health.connected = False
            if self.fault == "leaves the connection open":
                self.leak = writer
            else:
                writer.close()

    async def _line(self, reader: asyncio.StreamReader, silence_s: float | None) -> list[str]:
        async with asyncio.timeout(silence_s):
            return (await reader.readline()).decode().split()

    async def _ping(self, writer: asyncio.StreamWriter) -> None:
        while True:
            writer.write(b"ping\n")
            await asyncio.sleep(PING_S)

    def _take(self, writer: asyncio.StreamWriter, number: str, body: str) -> None:
        if self.fault == "other ids the next time" or number not in self.ids:
            self.ids[number] = "same" if self.fault == "one id for all" else new_id()
        raw = RawMessage(
            adapter="other" if self.fault == "wrong name" else self.context.name,
            id=self.ids[number],
            body=body.encode(),
            received_at=datetime.now(UTC),
            attributes={"number": number},
        )
        if self.fault != "no time of the last value":
            self.context.health.last_good_at = raw.received_at
        if self.fault in ("acknowledges early", "reads ahead"):
            writer.write(f"ack {number}\n".encode())
        self.arrived.put_nowait(Inbound(messages=[raw], ack=partial(self._acknowledge, writer, number)))
        if self.fault == "twice":
            self.arrived.put_nowait(Inbound(messages=[raw], ack=partial(self._acknowledge, writer, number)))

    async def _acknowledge(
        self, writer: asyncio.StreamWriter, number: str, outcomes: Sequence[Outcome]
    ) -> None:
        if self.fault == "never acknowledges":
            return
        if writer.is_closing() and self.fault == "late acknowledgement raises":
            raise RuntimeError("the connection is gone")
        if not writer.is_closing():
            writer.write(f"ack {number}\n".encode())


class ToySourceHarness:
    """The toy source with a fault."""

    guarantees = Guarantees(redelivers=True, back_pressure=True, stable_ids=True)
    patience_s = 3.0

    def __init__(self, fault: str = "") -> None:
        self.server, self.fault = ToyServer(), fault

    async def start_server(self) -> tuple[str, int]:
        return await self.server.start()

    async def stop_server(self) -> None:
        await self.server.stop()

    def make_source(self, context: AdapterContext, host: str, port: int) -> ToySource:
        return ToySource(context, host, port, self.fault)

    async def publish(self, count: int, size_bytes: int = 0) -> Sequence[str]:
        return self.server.publish(count, size_bytes)

    def mark(self, raw: RawMessage) -> str | None:
        return raw.body.decode().rstrip(".")


class ToySink:
    """Right, unless ``fault`` names what is wrong with it. A connection per call."""

    def __init__(self, context: AdapterContext, host: str, port: int, fault: str = "") -> None:
        self.address, self.fault, self.tasks = (host, port), fault, set[asyncio.Task[None]]()
        self.given_up = False

    async def open(self) -> None:
        if self.fault == "open needs the server":
            (await asyncio.open_connection(*self.address))[1].close()

    async def close(self) -> None:
        """Nothing stays open between calls."""

    async def send(self, deliveries: Sequence[Delivery]) -> Sequence[SinkOutcome]:
        if self.fault == "leaves a task":
            self.tasks.add(asyncio.create_task(asyncio.Event().wait()))  # type: ignore[arg-type]
        if self.fault == "accepts what is not there":
            return [Accepted() for _ in deliveries]
        if self.given_up:
            return [Failed(TransientError("given up", outage=True)) for _ in deliveries]
        outcomes: list[SinkOutcome] = []
        try:
            async with asyncio.timeout(None if self.fault == "no deadline" else TIMEOUT_S):
                reader, writer = await asyncio.open_connection(*self.address)
                try:
                    ordered = reversed(deliveries) if self.fault == "reorders" else deliveries
                    for each in ordered:
                        outcomes.append(await self._put(reader, writer, each.idempotency_key))
                finally:
                    writer.close()
        except asyncio.CancelledError:
            if self.fault != "swallows cancellation":
                raise
        except (OSError, TimeoutError) as error:
            self._failed(outcomes, error, len(deliveries))
        return outcomes[:-1] if self.fault == "forgets an outcome" else outcomes

    def _failed(self, outcomes: list[SinkOutcome], error: Exception, count: int) -> None:
        outage = isinstance(error, ConnectionError) and self.fault != "an outage like any other"
        failure: CrossplantError = TransientError("no answer", outage=outage)
        if self.fault == "blames the message":
            failure = PermanentError("no answer")
        if self.fault == "raises":
            raise failure
        self.given_up = self.fault == "reconnects never"
        missing = count - len(outcomes)
        outcomes += [(Failed if outage else Unknown)(failure) for _ in range(missing)]

    async def _put(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, key: str) -> SinkOutcome:
        twice = 2 if self.fault == "sends twice" else 1
        writer.write(f"put {key}\n".encode() * twice)
        answer = [(await reader.readline()).decode().split() for _ in range(twice)][-1]
        if not answer:
            raise ConnectionResetError
        if answer[0] == "ok" or self.fault == "ignores refusals":
            return Accepted()
        if self.fault == "a refusal is an outage":
            raise ConnectionResetError
        return Failed(PermanentError(f"{key} is refused"))


class ToySinkHarness:
    """The toy sink with a fault."""

    traits = SinkTraits(ordered=True, max_batch=5)
    patience_s = 2.0

    def __init__(self, fault: str = "") -> None:
        self.server, self.fault = ToyServer(), fault

    async def start_server(self) -> tuple[str, int]:
        return await self.server.start()

    async def stop_server(self) -> None:
        await self.server.stop()

    def make_sink(self, context: AdapterContext, host: str, port: int) -> ToySink:
        return ToySink(context, host, port, self.fault)

    def delivery(self, number: int, *, poison: bool = False) -> Delivery | None:
        key = f"poison-{number}" if poison else f"key-{number}"
        return Delivery(
            event=Event(id=str(number), source="/tests", type="com.crossplant.test.v1"),
            payload=key.encode(),
            content_type="text/plain",
            key=key,
            idempotency_key=key,
        )

    async def received(self) -> Sequence[str]:
        return self.server.stored
