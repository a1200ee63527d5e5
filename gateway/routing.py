"""The routes of a deployment while they run: started where they stood, ended in order, counted."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial

from msgspec import Struct

from canonical.errors import ConfigError
from canonical.ports import Sink, Transaction
from canonical.spec import Log, SinkTraits
from config.guarantees import Guarantee, falls_short, guarantee
from config.model import Deployment
from deadletter.service import Audit
from gateway.compile import compile_route, inbound_codes
from gateway.connections import RunningAdapter
from gateway.enriching import Awaited
from gateway.replay.sending import Gone, Outlet
from router import lanes
from router.aggregating import TRAITS, AggregateSink
from router.batching import BatchSink
from router.crosswalk import Crosswalk
from router.dispatch import Dispatcher, Feed
from router.engine import Engine
from router.enriching import EnrichSink
from router.enrichment import ReadModels
from router.gathering import GatheringFeed
from router.journal.sqlite import SQLiteJournal
from router.lanekeeper import LaneKeeper
from router.numbering import NumberedSink, Unnumbered
from router.outgoing import Outgoing
from router.ratelimit import Limit, Share
from router.routes import Route
from router.shadow import SHADOW_TRAITS, ShadowSink, SilentObserver, shadowed
from router.splitting import SplitSink
from router.status import Observer
from router.together import fed

__all__ = ["Backlog", "Routing", "compiled_routes", "places"]

_DRAIN_S = 10.0
_PRIORITIES = {"high": 0, "normal": 1, "low": 2}


class Backlog(Struct, frozen=True, kw_only=True):
    """What waits on one route for one plant (``-``: none), parked and dead-lettered left out."""

    plant: str
    route: str
    events: int
    oldest_at: datetime | None


class Routing:
    """By the route's name: ``engines`` are those that run, ``guarantees`` of all that are configured."""

    def __init__(
        self,
        journal: SQLiteJournal,
        adapters: Mapping[str, RunningAdapter],
        *,
        observer: Observer,
        crosswalk: Callable[[], Crosswalk],
        models: ReadModels,
        audit: Audit,
        clock: Callable[[], datetime],
        log: Log,
    ) -> None:
        """``adapters`` may change between starts. ``crosswalk`` gives the rows of the moment, ``models`` is
        what routes enrich from."""
        self._journal, self._adapters, self._observer = journal, adapters, observer
        self._crosswalk, self._audit, self._clock, self._log = crosswalk, audit, clock, log
        self._models, self.awaited = models, Awaited(self._hurry)
        self._dispatcher = Dispatcher(journal, log)
        self._outgoing = Outgoing(journal, clock)
        self._running: dict[str, asyncio.Task[None]] = {}
        self._limits: dict[str, Limit] = {}
        self._shares: dict[str, Share] = {}
        self._collectors: dict[str, AggregateSink] = {}
        self._deployment: Deployment
        self._outlets: dict[str, tuple[Sink, SinkTraits]] = {}
        self.engines: dict[str, Engine] = {}
        self.guarantees: dict[str, Guarantee] = {}

    async def start(self, deployment: Deployment, names: Sequence[str]) -> None:
        """Starts these routes where they stood. Raises ConfigError before anything runs."""
        compiled = compiled_routes(deployment, names)
        await self._journal.write(lambda _: None)  # settles what was handed in
        head = self._journal.head
        known = await self._journal.write(lambda t: places(t, deployment, names, head))
        self.launch(deployment, compiled, known)

    def launch(
        self, deployment: Deployment, compiled: Mapping[str, Route], cursors: Mapping[str, int]
    ) -> None:
        """Runs these routes from their places on. Their adapters must be there, and open."""
        self._deployment = deployment
        self.guarantees = {name: guarantee(deployment, name) for name in deployment.routes}
        for name in sorted(cursors.keys() - deployment.routes.keys()):
            self._log.warning("route_without_configuration", route=name, position=cursors[name])
        for name, route in compiled.items():
            if deployment.routes[name].mode == "shadow":
                self._shadow(route, after=cursors[name])
                continue
            running = self._adapters[route.to]
            assert running.sink is not None
            sink = running.sink
            if isinstance(route.formatter, Unnumbered):
                sink = NumberedSink(sink, name, route.formatter.formatter, self._outgoing)
            share = self._share(deployment, name)
            if route.split is not None:
                sink = SplitSink(sink, name, running.spec.traits, self._journal, limited=share is not None)
            traits = running.spec.traits
            if route.aggregate is not None:
                sink, traits, share = self._collecting(route, sink, traits, share), TRAITS, None
            if route.batch is not None:
                asks = traits.lookup and getattr(deployment.adapters[route.to].options, "looks_up", True)
                sink = BatchSink(sink, name, route.batch, self._journal, looks_up=asks, share=share)
                traits, share = fed(route.batch), None
            if route.enrich:
                sink, share = self._enriching(route, sink, share), None
            self.run(route, sink, traits, after=cursors[name], share=share)

    def _enriching(self, route: Route, sink: Sink, share: Share | None = None) -> Sink:
        waits = partial(self.awaited.waits, route.name)
        return EnrichSink(sink, route, self._models, self._crosswalk, share, waits)

    def _hurry(self, route: str, key: str) -> None:
        if (engine := self.engines.get(route)) is not None:
            engine.keeper.hurry(key)

    def _collecting(self, route: Route, sink: Sink, traits: SinkTraits, share: Share | None) -> AggregateSink:
        assert route.aggregate is not None
        collector = AggregateSink(
            sink,
            route.name,
            traits,
            route.aggregate,
            self._journal,
            self._journal,
            self._clock,
            self._log,
            share,
        )
        self._collectors[route.name] = collector
        collector.start()
        return collector

    def _shadow(self, route: Route, *, after: int) -> None:
        """Runs it with a sink that writes down, and nobody who counts."""
        shadow = shadowed(route)
        sink: Sink = ShadowSink(route.name, self._journal, self._clock)
        if route.enrich:
            sink = self._enriching(shadow, sink)
        self.run(shadow, sink, SHADOW_TRAITS, after=after, observer=SilentObserver())

    def _share(self, deployment: Deployment, route: str) -> Share | None:
        """The route's part in the limit of its target, which all routes to it share."""
        settings = deployment.routes[route]
        target = settings.to.adapter
        rate = deployment.adapters[target].rate
        if rate is None:
            return None
        limit = self._limits.get(target)
        if limit is None or limit.per_s != rate:
            limit = self._limits[target] = Limit(rate)
        share = self._shares[route] = limit.share(_PRIORITIES[settings.priority])
        return share

    def _leave(self, route: str) -> None:
        share = self._shares.pop(route, None)
        if share is not None:
            share.leave()
        collector = self._collectors.pop(route, None)
        if collector is not None:
            collector.stop()

    def run(
        self,
        route: Route,
        sink: Sink,
        traits: SinkTraits,
        *,
        after: int,
        share: Share | None = None,
        observer: Observer | None = None,
    ) -> Engine:
        """Runs a compiled route from a position on."""
        engine = Engine(
            route,
            sink=sink,
            traits=traits,
            feed=self._feed(route, traits, after),
            journal=self._journal,
            crosswalk=self._crosswalk,
            keeper=LaneKeeper(route.name, self._journal, self._log),
            observer=observer or self._observer,
            clock=self._clock,
            log=self._log,
            share=share,
        )
        self.engines[route.name] = engine
        self._outlets[route.name] = (sink, traits)
        self._running[route.name] = asyncio.create_task(self._run_route(engine), name=f"route {route.name}")
        return engine

    def _feed(self, route: Route, traits: SinkTraits, after: int) -> Feed:
        batch = route.batch
        if batch is None or traits is SHADOW_TRAITS:
            return self._dispatcher.feed(route, after)
        gathering = GatheringFeed(route, self._dispatcher, after, size=batch.size, within_s=batch.within_s)
        return self._dispatcher.add(gathering)

    async def _run_route(self, engine: Engine) -> None:
        """A route that fails unexpectedly starts anew from its cursor; the others are not concerned."""
        try:
            await engine.run()
        except Exception as error:  # noqa: BLE001 - whatever it is, the other routes go on
            name = engine.route.name
            self._log.error("route_failed", route=name, error=repr(error), restart_in_s=1.0)
            await asyncio.sleep(1.0)
            if self.engines.get(name) is not engine:  # it was being stopped
                return
            self._dispatcher.drop(engine.feed)
            self._leave(name)
            await self.start(self._deployment, [name])

    async def stop(self, name: str) -> None:
        """Ends a route; what is on its way comes back first, for a bounded time."""
        engine, task = self.engines.pop(name), self._running.pop(name)
        engine.stop()
        done, _ = await asyncio.wait({task}, timeout=_DRAIN_S)
        if not done:
            task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        self._leave(name)
        await engine.feed.close()
        self._dispatcher.drop(engine.feed)

    def outlet(self, name: str) -> Outlet:
        """Where a route delivers, for others who deliver there beside it. Raises Gone."""
        engine = self.engines.get(name)
        if engine is None:
            raise Gone(f"route {name!r} does not run")
        if engine.route.aggregate is not None:
            raise Gone(f"route {name!r} aggregates: events that it has collected would be collected again")
        sink, traits = self._outlets[name]
        if traits is SHADOW_TRAITS:
            raise Gone(f"route {name!r} is a shadow: it delivers nothing")
        limit = None if engine.route.enrich else self._limits.get(engine.route.to)  # that sink asks by itself
        share = None if limit is None else limit.share(max(_PRIORITIES.values()))
        return Outlet(engine.route, sink, traits, share)

    async def forget(self, name: str, *, by: str) -> None:
        """Removes the cursor of a route that is configured no more.

        Raises LookupError when it is unknown, or still has something in its lanes.
        """

        def work(transaction: Transaction) -> None:
            if transaction.execute("SELECT 1 FROM lanes WHERE route = ? LIMIT 1", (name,)):
                raise LookupError(
                    f"route {name!r} still has deliveries in its lanes: release or discard them first"
                )
            if not transaction.execute("DELETE FROM cursors WHERE route = ? RETURNING route", (name,)):
                raise LookupError(f"no route {name!r} was ever run here")
            transaction.execute("DELETE FROM batches WHERE route = ?", (name,))
            self._audit(transaction, by, "route.forget", f"route/{name}", {})

        await self._journal.write(work)

    def release(self, route: str, key: str) -> int:
        """See ``canonical.ports.Redeliver``."""
        engine = self.engines.get(route)
        if engine is None:
            raise LookupError(f"no route {route!r} runs")
        return engine.keeper.release(key)

    async def discard(self, route: str, key: str, position: int) -> None:
        """See ``canonical.ports.Redeliver``."""
        engine = self.engines.get(route)
        if engine is not None:
            engine.keeper.drop(key, position)
            return
        await self._journal.write(lambda t: lanes.remove(t, route, [(key, position)]))

    async def backlog(self) -> list[Backlog]:
        """Per route and plant, what waits. Before a condition is evaluated an event counts as waiting."""
        found: list[Backlog] = []
        for name, engine in list(self.engines.items()):
            numbers: Counter[str] = Counter()
            oldest: dict[str, datetime] = {}
            for event in engine.waiting_events():
                plant = event.plantid or "-"
                numbers[plant] += 1
                if event.recordedtime:
                    oldest.setdefault(plant, event.recordedtime)
            if engine.feed.lagging:
                await self._count_unread(engine, numbers, oldest)
            found += [
                Backlog(plant=plant, route=name, events=number, oldest_at=oldest.get(plant))
                for plant, number in sorted(numbers.items())
            ]
        return found

    async def _count_unread(self, engine: Engine, numbers: Counter[str], oldest: dict[str, datetime]) -> None:
        route = engine.route
        for header in await self._journal.headers(engine.feed.reached):
            for plant, types in header.counts.items():
                wanted = sum(number for kind, number in types.items() if kind in route.types)
                if wanted and (not route.plants or plant in route.plants):
                    numbers[plant] += wanted
                    oldest.setdefault(plant, datetime.fromtimestamp(header.recorded_at, UTC))


def compiled_routes(deployment: Deployment, names: Sequence[str]) -> dict[str, Route]:
    """The routes ready to run. Raises ConfigError, also for one that cannot keep what it requires, and
    ExpressionError."""
    for name in names:
        if short := falls_short(deployment.routes[name], guarantee(deployment, name)):
            raise ConfigError(f"route {name!r} does not start: {short}", key=f"routes.{name}.require")
    inbound = inbound_codes(deployment)
    return {name: compile_route(name, deployment.routes[name], inbound, deployment.python) for name in names}


def places(
    transaction: Transaction, deployment: Deployment, names: Sequence[str], head: int
) -> dict[str, int]:
    """Where each route goes on; a new one begins as its ``from`` says, a renamed one where it stood.

    The places of routes that are configured no more are among them.
    """
    known: dict[str, int] = dict(transaction.execute("SELECT route, position FROM cursors"))
    for name in names:
        route = deployment.routes[name]
        if name in known:
            continue
        if route.was and route.was in known:
            known[name] = known.pop(route.was)
            for table in (
                "lanes",
                "dead_letters",
                "deliveries",
                "sla_figures",
                "split_progress",
                "aggregates",
                "batches",
            ):
                transaction.execute(
                    f"UPDATE {table} SET route = ? WHERE route = ?",  # noqa: S608 - names of ours
                    (name, route.was),
                )
            transaction.execute("UPDATE OR IGNORE recipes SET route = ? WHERE route = ?", (name, route.was))
            transaction.execute("DELETE FROM cursors WHERE route = ?", (route.was,))
        else:
            known[name] = head if route.start == "now" else 0
        transaction.execute("INSERT INTO cursors VALUES (?, ?)", (name, known[name]))
    return known
