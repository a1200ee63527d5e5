"""A source under test with a stand-in for the hub that also decodes what comes."""

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from adapters.conformance.hub import Hub
from adapters.opcua import SPEC
from adapters.opcua.config import OpcuaConfig
from adapters.opcua.reading import decode_body
from canonical.catalogue import validate
from canonical.errors import Invalid
from canonical.event import Event, payload_hash
from canonical.ports import Source
from tests.waiting import eventually

__all__ = ["EQUIPMENT", "Running", "options", "running"]

EQUIPMENT = "acme/aachen/press-shop/line-1/press-3"
MACHINE = "nsu=urn:peer:machine;s="
LINE = "nsu=urn:peer:line;s="


def options(url: str, *tags: str | dict[str, Any], **others: Any) -> OpcuaConfig:
    """Short intervals, anonymous, unprotected; a tag given as text is a variable of the peer's machine."""
    chosen: dict[str, Any] = {
        "url": url,
        "security": "none",
        "equipment": EQUIPMENT,
        "tags": [{"node": MACHINE + tag, "tag": tag} if isinstance(tag, str) else tag for tag in tags],
        "publishing_interval": "50ms",
        "keep_alive_count": 10,
        "request_timeout": "2s",
        "connect_timeout": "4s",
        "min_backoff": "50ms",
        "max_backoff": "400ms",
        "retry_tags": "200ms",
        **others,
    }
    if "username" not in chosen:
        chosen["anonymous"] = True
    return OpcuaConfig.model_validate(chosen)


class Running:
    """What has come in so far, decoded; faults of the decoder apart."""

    def __init__(self, settings: OpcuaConfig, hub: Hub) -> None:
        self.settings, self.hub = settings, hub
        self.source: Source
        self._decoded = 0
        self._state: bytes | None = None
        self._events: list[Event] = []
        self._hashes: dict[str, bytes] = {}
        self._faults: list[Invalid] = []

    def _decode(self) -> None:
        assert SPEC.decoder is not None
        decoder = SPEC.decoder(self.settings, self.hub.context)
        for raw in self.hub.committed[self._decoded :]:
            self._state, found = decoder.decode(self._state, raw)
            for one in found:
                if isinstance(one, Invalid):
                    self._faults.append(one)
                else:
                    self._keep(one)
        self._decoded = len(self.hub.committed)

    def _keep(self, event: Event) -> None:
        """Once, as the journal does; the same identity with other data would be a conflict."""
        if event.id in self._hashes:
            assert self._hashes[event.id] == payload_hash(event), f"conflict: {event}"
            return
        assert validate(event.type, event.data) == [], event
        self._hashes[event.id] = payload_hash(event)
        self._events.append(event)

    @property
    def events(self) -> list[Event]:
        """All events so far, each once; each is what the catalogue says."""
        self._decode()
        return self._events

    @property
    def faults(self) -> list[Invalid]:
        self._decode()
        return self._faults

    def of(self, suffix: str) -> list[Event]:
        """The events of a type."""
        return [event for event in self.events if event.type == f"com.crossplant.{suffix}.v1"]

    def measured(self, tag: str) -> list[dict[str, Any]]:
        """The data of a tag's measurements."""
        return [e.data for e in self.of("telemetry.measurement.recorded") if e.data["tag"] == tag]

    def values(self, tag: str) -> list[Any]:
        """A tag's values so far."""
        return [data["value"] for data in self.measured(tag)]

    def notes(self) -> list[dict[str, Any]]:
        """What was written down about the source."""
        return [event.data for event in self.of("telemetry.source.changed")]

    def statuses(self) -> list[str]:
        return [note["status"] for note in self.notes()]

    def gaps(self) -> list[dict[str, Any]]:
        return [note["gap"] for note in self.notes() if "gap" in note]

    def kinds(self) -> list[str]:
        """The reasons of the notes, which the raw messages have."""
        bodies = [decode_body(raw.body) for raw in self.hub.committed if "reason" in raw.attributes]
        return [getattr(body, "reason", "") for body in bodies]

    async def connected(self, timeout_s: float = 45.0) -> None:
        await eventually(lambda: self.hub.context.health.connected, timeout_s)

    async def comes(self, tag: str, value: object, timeout_s: float = 45.0) -> None:
        """Waits for a value."""
        await eventually(lambda: value in self.values(tag), timeout_s)

    async def comes_anew(self, tag: str, count: int = 2, timeout_s: float = 45.0) -> None:
        """Waits for more values of a tag than there are now."""
        before = len(self.values(tag))
        await eventually(lambda: len(self.values(tag)) >= before + count, timeout_s)


@asynccontextmanager
async def running(settings: OpcuaConfig, folder: Path, *, hub: Hub | None = None) -> AsyncIterator[Running]:
    """The source, open and taken from until the block ends; with ``hub`` it is a later life of the same."""
    logging.getLogger("asyncua").setLevel(logging.CRITICAL)
    assert SPEC.source is not None
    run = Running(settings, hub or Hub(folder))
    run.source = SPEC.source(settings, run.hub.new_context())
    async with run.hub.runs(run.source):
        yield run
