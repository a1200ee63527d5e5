"""The journal beside a plain file that gets the same events and raw messages, one fdatasync a batch."""

from __future__ import annotations

import gc
import itertools
import os
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, datetime
from pathlib import Path

from bench.contest import Arena, Options, Run
from bench.measure import Sample, per_100k
from bench.workload import payload, topic
from canonical import catalogue
from canonical.event import Event, encode_lines, new_id
from canonical.ports import RawMessage
from gateway.runtime import GC_THRESHOLDS, SWITCH_INTERVAL_S
from router.journal import IngestBatch, Message
from router.journal.bundle import encode_raws
from router.journal.sqlite import SQLiteJournal

__all__ = ["as_in_a_hub", "journal"]

_GOALS = {100: (0.55, 0.75), 500: (0.30, 0.40)}


def _message(number: int, now: datetime) -> Message:
    """A reading as the hub commits it: the raw message and its event."""
    name = f"press-{number % 20}/temperature"
    raw = RawMessage(
        adapter="floor",
        id=new_id(),
        body=payload(number),
        received_at=now,
        attributes={"topic": topic(number, "acme"), "qos": 1, "mid": number % 65_535},
    )
    event = Event(
        id=raw.id,
        source="/plants/brno/adapters/floor",
        type=catalogue.full_name("telemetry.measurement.recorded"),
        time=now,
        recordedtime=now,
        subject=name,
        plantid="brno",
        domain="telemetry",
        partitionkey=f"E:{name}",
        srcmsgid=raw.id,
        data={
            "tag": name,
            "value": 20.5,
            "uom": "CEL",
            "quality": "good",
            "source_time": "2026-03-31T10:00:00Z",
        },
    )
    return Message(raw=raw, events=[event])


def _batches(count: int, size: int) -> list[list[Message]]:
    """What a batch came in with was read at one moment, as from a connection."""
    moments = ((at, datetime.now(UTC)) for at in range(0, count, size))
    return [[_message(at + n, now) for n in range(size)] for at, now in moments]


def _encoded(messages: Sequence[Message]) -> bytes:
    """The bytes that the journal keeps of them, by the same encoders."""
    events = [event for message in messages for event in message.events]
    return encode_lines(events) + encode_raws([message.raw for message in messages])


def _ours(folder: Path, count: int, size: int) -> Run:
    numbers = itertools.count()

    async def run() -> Sample:
        place = folder / f"journal-{size}-{next(numbers)}"
        place.mkdir()
        opened = SQLiteJournal(place)
        await opened.open()
        try:
            batches = _batches(count, size)
            cpu_s, began = time.process_time(), time.perf_counter()
            for messages in batches:
                await opened.append(IngestBatch(adapter="floor", messages=messages))
            passed = time.perf_counter() - began
            cpu_s = time.process_time() - cpu_s
        finally:
            await opened.close()
        return Sample(value=count / passed, cpu_s_per_100k=per_100k(cpu_s, count))

    return run


def _plain(folder: Path, count: int, size: int, *, ready: bool) -> Run:
    """A file of nothing but the same bytes; ``ready`` when they are encoded before the time begins."""

    async def run() -> Sample:
        batches = _batches(count, size)
        pieces = [_encoded(messages) for messages in batches] if ready else []
        path = folder / "plain.log"
        descriptor = os.open(path, os.O_CREAT | os.O_TRUNC | os.O_WRONLY | os.O_APPEND)
        try:
            cpu_s, began = time.process_time(), time.perf_counter()
            for piece in pieces if ready else map(_encoded, batches):
                os.write(descriptor, piece)
                os.fdatasync(descriptor)
            passed = time.perf_counter() - began
            cpu_s = time.process_time() - cpu_s
        finally:
            os.close(descriptor)
        return Sample(value=count / passed, cpu_s_per_100k=per_100k(cpu_s, count))

    return run


@contextmanager
def as_in_a_hub() -> Iterator[None]:
    """The settings that ``gateway.runtime`` makes, for both; given back afterwards."""
    thresholds, interval_s = gc.get_threshold(), sys.getswitchinterval()
    gc.set_threshold(*GC_THRESHOLDS)
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    try:
        yield
    finally:
        gc.set_threshold(*thresholds)
        sys.setswitchinterval(interval_s)


@asynccontextmanager
async def journal(options: Options) -> AsyncIterator[list[Arena]]:
    """Events a second, one append after the other, nothing else in the process."""
    count = 10_000 if options.quick else 50_000
    note = (
        "The ratio is to a plain file that gets the same bytes: events and raw messages, encoded within its "
        "time, as ours are. The other peer's bytes were encoded beforehand. Ours alone deduplicates, hashes, "
        "gives positions, and can be read while it is written. The collector's thresholds and the "
        "interpreter's switch interval are those of a hub."
    )
    with as_in_a_hub(), tempfile.TemporaryDirectory(prefix="crossplant-bench-") as place:
        folder = Path(place)
        yield [
            Arena(
                name=f"journal, batches of {size}",
                unit="events/s",
                runs={
                    "ours": _ours(folder, count, size),
                    "append + fdatasync": _plain(folder, count, size, ready=False),
                    "append + fdatasync of ready bytes": _plain(folder, count, size, ready=True),
                },
                note=note,
                gate=gate,
                goal=goal,
            )
            for size, (gate, goal) in _GOALS.items()
        ]
