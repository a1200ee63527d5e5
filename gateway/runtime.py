"""The composition root: a deployment becomes a running hub.

Start: journal, read models, sinks, routes, HTTP, sources. Stop, the other way round: sources
first, then the routes deliver what is there (for a bounded time), settle, and everything closes.
What is not delivered by then is in the journal and goes on at the next start.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import sys
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from zoneinfo import ZoneInfo

import structlog

from canonical.event import utc_now
from canonical.ports import Outcome, RawMessage, Transaction
from canonical.spec import FormatContext, Health, Log, format_spec
from config.guarantees import Guarantee
from config.model import Deployment
from deadletter import bulk, edits
from deadletter import store as dead_letters
from deadletter.bulk import Bulk
from deadletter.dryrun import DryRun
from deadletter.edits import Edits
from deadletter.service import DeadLetters
from gateway import audit, exceptions, keys, versions
from gateway.amending import Amending
from gateway.arenas import keep_one_heap
from gateway.audit import Audit
from gateway.coding import Coding
from gateway.compile import crosswalk_rows, inbound_codes
from gateway.connections import RunningAdapter, close, connect, intake_of, supervise
from gateway.crosswalks import Crosswalks
from gateway.dryrun import Dry
from gateway.enriching import ServiceModels
from gateway.exceptions import Exceptions, Rules, Telling
from gateway.givenup import given_up
from gateway.keys import Keys
from gateway.metrics import Metrics
from gateway.projections.search import Search
from gateway.projections.services.projection import Services
from gateway.reloading import Loaded, Reloading
from gateway.replay import store as replays
from gateway.replay.service import Replays
from gateway.routing import Backlog, Routing
from gateway.sla import buckets, watch
from router import aggregates, batches, crosswalk, lanes, sequences, shadow, splitting, unreadable
from router.engine import Engine
from router.ingest import Ingest, Intake
from router.journal.quarantine import Damage
from router.journal.retention import Retention
from router.journal.sqlite import SQLiteJournal
from router.overdue import Overdue

__all__ = ["API_ADAPTER", "GC_THRESHOLDS", "SWITCH_INTERVAL_S", "TABLES", "Hub", "running"]

API_ADAPTER = "api"
"""Under this name events that are posted to the gateway are counted."""
TABLES = (
    *dead_letters.TABLES,
    *bulk.TABLES,
    *edits.TABLES,
    *exceptions.TABLES,
    *lanes.TABLES,
    *sequences.TABLES,
    *splitting.TABLES,
    *aggregates.TABLES,
    *batches.TABLES,
    *crosswalk.TABLES,
    *keys.TABLES,
    *audit.TABLES,
    *versions.TABLES,
    *replays.TABLES,
    *shadow.TABLES,
    *watch.TABLES,
)
_DRAIN_S = 10.0
_HOUSEKEEPING_S = 5.0
GC_THRESHOLDS = (100_000, 50, 100)  # events die by reference count; looking for cycles costs a tenth of all
SWITCH_INTERVAL_S = 0.0005  # else the journal's thread waits 5 ms for the loop to give up the GIL


class Hub:
    """A running deployment. Build it with ``running``."""

    def __init__(
        self,
        deployment: Deployment,
        data_dir: Path,
        *,
        clock: Callable[[], datetime] = utc_now,
        log: Log | None = None,
        path: Path | None = None,
    ) -> None:
        """``path``: where the deployment was read, and is read anew."""
        self.deployment, self.data_dir, self.clock = deployment, data_dir, clock
        self.log: Log = log or structlog.get_logger()
        self.started_at = clock()
        self.ready = False
        self.adapters: dict[str, RunningAdapter] = {}
        self._housekeeping: asyncio.Task[None] | None = None
        self.configuration = Reloading(self, path)
        self.replays = Replays(self)
        self._opened = contextlib.AsyncExitStack()
        self._routing: Routing | None = None

    # ── start and stop ───────────────────────────────────────────────────────────────────────────

    async def open(self) -> None:
        """Opens everything but the sources. Raises ConfigError (a second hub, a newer data folder)."""
        keep_one_heap()
        sys.setswitchinterval(SWITCH_INTERVAL_S)
        gc.set_threshold(*GC_THRESHOLDS)
        settings = self.deployment.journal
        window_s = max([adapter.dedupe for adapter in self.deployment.adapters.values()], default=7 * 86400.0)
        self.journal = SQLiteJournal(
            self.data_dir,
            tables=TABLES,
            window_s=window_s,
            retention=Retention(
                retain_s=settings.retain,
                size_bytes=settings.retain_size,
                keep_after=lambda: min(
                    self.search.position, self.services.keep_after, self.exceptions.position
                ),
                before=_before_retention,
            ),
            claim_over_bytes=settings.claim_over,
            damaged=self._damaged,
        )
        self.search = Search(self.data_dir, self.log)
        self.services = Services(self.data_dir, self.log)
        self.models = ServiceModels(self.services, self._coding, self.clock)
        self.audit = Audit(self.data_dir)
        self.exceptions = Exceptions(self.journal, self.audit.record, self._rules, self.clock, self.log)
        await self.journal.open()
        self._opened.push_async_callback(self.journal.close)
        self._tell_versions(*self.journal.versions)
        await self.search.open(self.journal)
        self._opened.push_async_callback(self.search.close)
        await self.services.open(self.journal)
        self._opened.push_async_callback(self.services.close)
        await self.exceptions.open()
        self._opened.push_async_callback(self.exceptions.close)
        self.keys = Keys(self.journal, self.audit.record, self.clock)
        self.metrics = Metrics(self.deployment)
        self.telling = Telling(self.journal, lambda: self.deployment, self.clock, self.log, self.metrics.told)
        self.telling.open()
        self._opened.push_async_callback(self.telling.close)
        self.levels = watch.Watch(self)
        self.ingest = Ingest(self.journal, self.metrics, self.clock, self.log)
        self.acknowledgements = Overdue(self.journal, self.clock, self._owners)
        record = self.audit.record
        self.dead_letters = DeadLetters(self.journal, self, record, self.clock, given_up(record))
        self.edits = Edits(
            self.journal,
            self.dead_letters,
            Amending(self.adapters),
            self.audit.record,
            self.clock,
            second_person=lambda: self.deployment.gateway.second_person,
        )
        self.dry_run = DryRun(self.journal, self.dead_letters, self._dry)
        self.retries = Bulk(self.journal, self.dead_letters, self.audit.record, self.clock, self.log)
        self.crosswalks = Crosswalks(
            self.journal,
            self.release,
            self.audit.record,
            self.clock,
            self.log,
            stewardship=lambda: self.deployment.stewardship,
        )
        self._routing = Routing(
            self.journal,
            self.adapters,
            observer=self.metrics,
            crosswalk=lambda: self.crosswalks.current,
            models=self.models,
            audit=self.audit.record,
            clock=self.clock,
            log=self.log,
        )
        self.services.told = self.routing.awaited.told
        await self.crosswalks.sync_files(crosswalk_rows(self.deployment))
        self.ingest.add(self._api_intake())
        await self.ingest.tell_gaps()
        for name in self.deployment.adapters:
            await self.connect(name, self.deployment)
        await self.routing.start(self.deployment, list(self.deployment.routes))
        await self.configuration.started()
        await self.retries.open()
        await self.replays.open()
        self._housekeeping = asyncio.create_task(self._keep_house(), name="housekeeping")

    def _damaged(self, transaction: Transaction, damage: Damage) -> None:
        letter = unreadable.record(transaction, damage)
        self.log.error("journal_corrupt", first=damage.first, last=damage.last, dead_letter=letter)

    def _tell_versions(self, found: int, reached: int) -> None:
        if found != reached:
            back = "programs before this one refuse the folder now: their way back is a backup made before"
            self.log.warning("journal_brought_up_to_date", found=found, reached=reached, detail=back)

    @property
    def routing(self) -> Routing:
        """The routes; only once it is open."""
        assert self._routing is not None
        return self._routing

    @property
    def engines(self) -> Mapping[str, Engine]:
        """The routes that run, by name."""
        return self._routing.engines if self._routing is not None else {}

    @property
    def guarantees(self) -> Mapping[str, Guarantee]:
        """What each configured route guarantees."""
        return self._routing.guarantees if self._routing is not None else {}

    def start_sources(self) -> None:
        """Lets messages in."""
        for running in self.adapters.values():
            self.start_source(running)
        self.ready = True

    async def close(self) -> None:
        """Stops in order; returns with everything durable and the data folder free."""
        self.ready = False
        await self.configuration.close()
        for running in self.adapters.values():
            await self._stop_source(running)
        if self._housekeeping is not None:  # it was opened to the end
            await self.retries.close()
            await self.replays.close()
        await self._drain()
        for name in list(self.engines):
            await self.routing.stop(name)
        for running in self.adapters.values():
            if running.sink is not None:
                await close(running.sink.close(), running.name, self.log)
        if self._housekeeping is not None:
            self._housekeeping.cancel()
            await asyncio.gather(self._housekeeping, return_exceptions=True)
        await self._opened.aclose()

    async def _drain(self) -> None:
        deadline = time.monotonic() + _DRAIN_S
        while time.monotonic() < deadline:
            waiting = [
                engine.status
                for engine in self.engines.values()
                if engine.status.waiting or engine.feed.lagging
            ]
            if all(status.state == "paused" for status in waiting):
                return
            await asyncio.sleep(0.02)

    # ── adapters ─────────────────────────────────────────────────────────────────────────────────

    def _api_intake(self) -> Intake:
        spec = format_spec("cloudevents")
        assert spec.decoder is not None
        context = FormatContext(
            adapter=API_ADAPTER, source=f"/{API_ADAPTER}", plant=None, partner=None, timezone=ZoneInfo("UTC")
        )
        return Intake(
            name=API_ADAPTER,
            source=f"/{API_ADAPTER}",
            plant=None,
            decoder=spec.decoder(spec.config(), context),
            health=Health(),
        )

    async def connect(self, name: str, deployment: Deployment) -> RunningAdapter:
        """Builds the adapter and opens its sink; its source begins with ``start_source``."""
        delivers = any(route.to.adapter == name for route in deployment.routes.values())
        running = await connect(
            name,
            deployment,
            self.data_dir,
            states=self.journal.states,
            history=self._history,
            delivers=delivers,
            clock=self.clock,
            log=self.log,
        )
        self.adapters[name] = running
        if running.source is not None:
            self.ingest.add(intake_of(running))
        if running.sink is not None:
            await running.sink.open()
        return running

    async def _history(self, adapter: str, limit: int) -> Sequence[RawMessage]:
        """Committed messages, those that were refused included, by time."""
        recorded = await self.journal.history(adapter, limit)
        letters = await self.journal.read(lambda t: dead_letters.newest_messages(t, adapter, limit))
        refused = [
            RawMessage(
                adapter=adapter,
                id=letter.message_id,
                body=letter.body,
                received_at=datetime.fromtimestamp(letter.first_at, UTC),
                content_type=letter.content_type,
                attributes=letter.attributes,
            )
            for letter in letters
        ]
        return sorted((*recorded, *refused), key=lambda raw: raw.received_at)[-limit:]

    def start_source(self, running: RunningAdapter) -> None:
        """Lets its messages in."""
        if running.source is not None:
            running.task = asyncio.create_task(
                supervise(running, self.ingest, self.log), name=f"source {running.name}"
            )

    async def _stop_source(self, running: RunningAdapter) -> None:
        if running.source is None:
            return
        await close(running.source.close(), running.name, self.log)
        if running.task is not None:
            done, _ = await asyncio.wait({running.task}, timeout=_DRAIN_S)
            if not done:
                running.task.cancel()
            await asyncio.gather(running.task, return_exceptions=True)
            running.task = None

    # ── Redeliver, for dead letters and lanes ────────────────────────────────────────────────────

    async def message(self, raw: RawMessage) -> Outcome:
        """See ``canonical.ports.Redeliver``."""
        return (await self.ingest.submit(raw.adapter, [raw]))[0]

    async def release(self, route: str, key: str) -> int:
        """See ``canonical.ports.Redeliver``."""
        return self.routing.release(route, key)

    async def discard(self, route: str, key: str, position: int) -> None:
        """See ``canonical.ports.Redeliver``."""
        await self.routing.discard(route, key, position)

    async def lanes_release(self, route: str, key: str, *, by: str, reason: str = "") -> int:
        """``release`` as a person's act: audited, and not done when that cannot be. Raises LookupError."""
        if route not in self.engines:
            raise LookupError(f"no route {route!r} runs")

        def told(transaction: Transaction) -> int:
            waiting = lanes.size(transaction, route, key)
            details = {"key": key, "waiting": waiting, **({"reason": reason} if reason else {})}
            self.audit.record(transaction, by, "lane.release", f"route/{route}", details)
            return waiting

        waiting = await self.journal.write(told)
        await self.release(route, key)
        return waiting

    def _dry(self) -> Dry:
        rows = self.crosswalks.current
        return Dry(self.journal, self.adapters, self.engines, rows, self.models, self.clock)

    def _coding(self) -> Coding:
        return Coding(inbound_codes(self.deployment), self.crosswalks.current)

    # ── what is known of it ──────────────────────────────────────────────────────────────────────

    async def backlog(self) -> list[Backlog]:
        """Per route and plant, what waits. Before a condition is evaluated an event counts as waiting."""
        return await self.routing.backlog()

    async def forget_route(self, name: str, *, by: str) -> None:
        """Gives up the place of a route that is configured no more, so that it holds no history.

        Raises LookupError when it is configured, unknown, or still has something in its lanes.
        """
        if name in self.deployment.routes:
            raise LookupError(f"route {name!r} is configured; take it out of the configuration first")
        await self.routing.forget(name, by=by)

    def _owners(self) -> dict[str, str]:
        """The teams of the routes that have one."""
        return {name: route.owner for name, route in self.deployment.routes.items() if route.owner}

    def _rules(self) -> Rules:
        levels = self.deployment.service_levels.items()
        return Rules(
            owners=self._owners(),
            adapters={
                name: adapter.owner for name, adapter in self.deployment.adapters.items() if adapter.owner
            },
            levels={name: level.owner for name, level in levels if level.owner},
            settings=self.deployment.exceptions,
        )

    async def _keep_house(self) -> None:
        while True:
            await asyncio.sleep(_HOUSEKEEPING_S)
            for chore in (
                self._make_room,
                self.levels.fold,
                self.journal.retain,
                partial(self.metrics.refresh, self),
                self.levels.look,
                self.crosswalks.look,
                self.exceptions.look,
                self.acknowledgements.look,
                self._tidy_shadows,
            ):
                try:
                    await chore()
                except Exception as error:  # noqa: BLE001 - the others go on, and the next round may do better
                    self.log.error("housekeeping_failed", error=repr(error))

    async def _tidy_shadows(self) -> None:
        """What shadows recorded goes with its journal."""
        while await self.journal.write(shadow.tidy):
            pass

    async def _make_room(self) -> None:
        """At the size limit: a copy of the services now, so that the retention may pass what is in it."""
        if self.journal.full:
            await self.services.snapshot()

    # ── reload ───────────────────────────────────────────────────────────────────────────────────

    async def reload(self, deployment: Deployment, *, by: str) -> Loaded:
        """Swaps the configuration, all or nothing: see ``gateway.reloading``. Raises ConfigErrors."""
        return await self.configuration.swap(deployment, by=by)

    async def disconnect(self, name: str) -> None:
        """Closes an adapter and forgets it."""
        running = self.adapters.pop(name)
        await self._stop_source(running)
        if running.source is not None:
            self.ingest.remove(name)
        if running.sink is not None:
            await close(running.sink.close(), name, self.log)


@contextlib.asynccontextmanager
async def running(deployment: Deployment, data_dir: Path, *, log: Log | None = None) -> AsyncIterator[Hub]:
    """A hub that takes messages in, without its HTTP server; closed in order at the end."""
    hub = Hub(deployment, data_dir, log=log)
    try:
        await hub.open()
        hub.start_sources()
        yield hub
    finally:
        await hub.close()


def _before_retention(transaction: Transaction) -> None:
    buckets.fold(transaction)
    unreadable.give_up(transaction)
