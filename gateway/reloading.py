"""A changed configuration takes effect while the hub runs, all of it or nothing.

What can be known beforehand is looked at first; then what changed is stopped, and its successors are
opened; one transaction makes it durable (code tables, places of routes, version, audit); after it nothing
can fail. Before it whatever fails brings back what was stopped. What did not change is not touched.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from msgspec import Struct, to_builtins

from canonical.errors import CrossplantError
from canonical.ports import Transaction
from config.findings import ConfigErrors, Finding
from config.load import check, load
from config.model import Deployment
from config.written import Change, changes
from deadletter.service import NotPossible
from gateway import recipes, versions
from gateway.reload_plan import Plan, Ready, fixed, ready_for
from gateway.routing import places
from gateway.versions import Version
from router.crosswalk import Crosswalk, Overlap, Row
from router.journal import StorageError

if TYPE_CHECKING:
    from gateway.runtime import Hub

__all__ = ["Checked", "Loaded", "Reloading"]

_OPEN_S: Final = 30.0
_AGAIN_S: Final = 2.0
_MOST_CHANGES: Final = 200


class Loaded(Struct, frozen=True, kw_only=True):
    """A load that took effect. ``adapters`` and ``routes``: what was stopped, started or exchanged."""

    version: Version
    changes: Sequence[Change]
    adapters: list[str]
    routes: list[str]


class Checked(Struct, frozen=True, kw_only=True):
    """What is wrong with what is written now, and what it would change."""

    findings: Sequence[Finding]
    changes: Sequence[Change]


class Reloading:
    """The configuration of one hub. ``version`` is that of what runs."""

    def __init__(self, hub: Hub, path: Path | None) -> None:
        self._hub, self._path = hub, path
        self._turn = asyncio.Lock()
        self._restoring: asyncio.Task[None] | None = None
        self.version: Version | None = None

    async def started(self) -> None:
        """Keeps the version with which the hub started."""
        deployment = self._hub.deployment
        made = recipes.recipes_of(deployment)
        names = sorted(deployment.adapters), sorted(deployment.routes)
        loaded = await self._hub.journal.write(lambda t: self._keep(t, deployment, made, *names, by="start"))
        self.version = loaded.version

    async def close(self) -> None:
        """Waits for a load under way; none begins after it."""
        await self._turn.acquire()
        await self._stop_restoring()

    # ── what people ask ──────────────────────────────────────────────────────────────────────────

    async def check(self) -> Checked:
        """What is written now, looked at. Raises NotPossible for a hub that was not started from a file."""
        path = self._written_at()
        findings = await asyncio.to_thread(check, path)
        if any(found.severity == "error" for found in findings):
            return Checked(findings=findings, changes=())
        deployment = await asyncio.to_thread(load, path)
        restart = fixed(self._hub.deployment, deployment)
        return Checked(
            findings=[*restart, *findings], changes=changes(self._hub.deployment.written, deployment.written)
        )

    async def reload(self, *, by: str) -> Loaded:
        """Reads the deployment anew and swaps it. Raises NotPossible, ConfigErrors with every finding."""
        path = self._written_at()
        try:
            deployment = await asyncio.to_thread(load, path)
        except ConfigErrors as error:
            await self._refused(error, by)
            raise
        return await self.swap(deployment, by=by)

    async def swap(self, deployment: Deployment, *, by: str) -> Loaded:
        """Puts ``deployment``, which has passed ``check``, in the place of what runs.

        Raises ConfigErrors for what needs a restart or cannot be opened, and StorageError; then what ran
        goes on.
        """
        task = asyncio.create_task(self._swapped(deployment, by), name="reload")
        task.add_done_callback(lambda done: done.cancelled() or done.exception())
        return await asyncio.shield(task)  # who asks may go away in the middle

    async def _swapped(self, deployment: Deployment, by: str) -> Loaded:
        async with self._turn:
            await self._stop_restoring()
            try:
                return await self._exchange(deployment, by)
            except ConfigErrors as error:
                await self._refused(error, by)
                raise

    def _written_at(self) -> Path:
        if self._path is None:
            raise NotPossible("this hub was not started from a file that could be read anew")
        return self._path

    async def _refused(self, error: ConfigErrors, by: str) -> None:
        """Says why, in the log and in the audit."""
        found = [str(finding) for finding in error.findings]
        for line in found:
            self._hub.log.error("configuration_refused", finding=line)
        told = {"findings": found[:_MOST_CHANGES], "running": self.version and self.version.number}
        record = self._hub.audit.record
        try:
            await self._hub.journal.write(
                lambda t: record(t, by, "configuration.refused", "deployment", told)
            )
        except StorageError as storage:
            self._hub.log.error("audit_held_up", act="configuration.refused", error=storage.message)

    # ── the exchange ─────────────────────────────────────────────────────────────────────────────

    async def _exchange(self, deployment: Deployment, by: str) -> Loaded:
        hub = self._hub
        restart = fixed(hub.deployment, deployment)
        if restart:
            raise ConfigErrors(restart)
        plan = Plan(hub, deployment)
        ready = await asyncio.to_thread(ready_for, hub, deployment, plan)
        try:
            await self._put_in(plan.added, deployment)
            await self._take_out(plan)
            await self._put_in(plan.exchanged, deployment)
            committed = await self._commit(deployment, plan, ready, by)
        except BaseException:
            await self._put_back(plan)
            raise
        loaded = self._begin(deployment, plan, ready, committed)
        if committed.rows_changed:
            await self._let_go(ready.rows)
        return loaded

    async def _put_in(self, names: Sequence[str], deployment: Deployment) -> None:
        """Opens these adapters; their sources take nothing in yet. Raises ConfigErrors."""
        for name in names:
            try:
                async with asyncio.timeout(_OPEN_S):
                    running = await self._hub.connect(name, deployment)
                    if running.source is not None:
                        await running.source.open()
                        running.opened = True
            except TimeoutError as error:
                raise _unopened(deployment, name, f"it did not open within {_OPEN_S:g} s") from error
            except Exception as error:
                raise _unopened(deployment, name, str(error) or repr(error)) from error

    async def _take_out(self, plan: Plan) -> None:
        for name in plan.routes:
            if name in self._hub.engines:
                await self._hub.routing.stop(name)
        for name in (*plan.removed, *plan.exchanged):
            if name in self._hub.adapters:
                await self._hub.disconnect(name)

    async def _commit(self, deployment: Deployment, plan: Plan, ready: Ready, by: str) -> _Committed:
        hub = self._hub
        await hub.journal.write(lambda _: None)  # settles what the stopped routes handed in
        head = hub.journal.head

        def work(transaction: Transaction) -> _Committed:
            changed, current = hub.crosswalks.put_files(transaction, ready.rows)
            cursors = places(transaction, deployment, list(ready.routes), head)
            loaded = self._keep(transaction, deployment, ready.recipes, plan.adapters, plan.routes, by=by)
            return _Committed(rows_changed=changed, crosswalk=current, cursors=cursors, loaded=loaded)

        try:
            return await hub.journal.write(work)
        except Overlap as error:
            found = deployment.written.finding("crosswalks", f"crosswalks: {error.message}")
            raise ConfigErrors([found]) from error

    def _keep(
        self,
        transaction: Transaction,
        deployment: Deployment,
        made: Mapping[str, str],
        adapters: Sequence[str],
        routes: Sequence[str],
        *,
        by: str,
    ) -> Loaded:
        """A version, and the audit's row about it, within somebody's transaction."""
        at = self._hub.clock().timestamp()
        version, stored = versions.keep(transaction, deployment.written, made, at=at, by=by)
        running = self._hub.deployment  # knows what references stood for, which the store does not
        differing = stored or [] if by == "start" else changes(running.written, deployment.written)
        told: dict[str, Any] = {
            "version": version.number,
            "hash": version.hash,
            "adapters": adapters,
            "routes": routes,
            "changes": to_builtins(differing[:_MOST_CHANGES]),
        }
        if len(differing) > _MOST_CHANGES:
            told["more_changes"] = len(differing) - _MOST_CHANGES
        self._hub.audit.record(transaction, by, "configuration.load", "deployment", told)
        return Loaded(version=version, changes=differing, adapters=list(adapters), routes=list(routes))

    def _begin(self, deployment: Deployment, plan: Plan, ready: Ready, committed: _Committed) -> Loaded:
        """Nothing here waits or fails: what is durable is what runs."""
        hub = self._hub
        for name, running in hub.adapters.items():
            running.config = deployment.adapters[name]
        for name, decoder in ready.decoders.items():
            hub.ingest.redecode(name, decoder)
        hub.crosswalks.current = committed.crosswalk
        hub.deployment = deployment
        hub.metrics.configure(deployment)
        hub.routing.launch(deployment, ready.routes, committed.cursors)
        for name in (*plan.added, *plan.exchanged):
            hub.start_source(hub.adapters[name])
        loaded = committed.loaded
        self.version = loaded.version
        hub.log.info(
            "configuration_reloaded",
            version=loaded.version.number,
            hash=loaded.version.hash,
            adapters=loaded.adapters,
            routes=loaded.routes,
        )
        return loaded

    async def _let_go(self, rows: Sequence[Row]) -> None:
        """What waited for the rows; when that fails, the hub's own rounds do it later."""
        try:
            await self._hub.crosswalks.let_go(rows)
        except CrossplantError as error:
            self._hub.log.error("release_held_up", error=error.message)

    # ── the way back ─────────────────────────────────────────────────────────────────────────────

    async def _put_back(self, plan: Plan) -> None:
        """What ran runs again; what cannot at once is tried until it does."""
        for name in (*plan.added, *plan.exchanged):
            running = self._hub.adapters.get(name)
            if running is not None and not any(running is one for one in plan.before):
                await self._hub.disconnect(name)
        if not await self._restored():
            self._restoring = asyncio.create_task(self._restore(), name="restore configuration")

    async def _restore(self) -> None:
        done = False
        while not done:
            await asyncio.sleep(_AGAIN_S)
            done = await self._restored()

    async def _restored(self) -> bool:
        hub, old = self._hub, self._hub.deployment
        for name in sorted(old.adapters.keys() - hub.adapters.keys()):
            try:
                hub.start_source(await hub.connect(name, old))
            except Exception as error:  # noqa: BLE001 - the others come back all the same
                hub.log.error("adapter_not_restored", adapter=name, error=repr(error), again_in_s=_AGAIN_S)
                if name in hub.adapters:
                    await hub.disconnect(name)
        waiting = sorted(old.routes.keys() - hub.engines.keys())
        possible = [name for name in waiting if old.routes[name].to.adapter in hub.adapters]
        try:
            await hub.routing.start(old, possible)
        except CrossplantError as error:
            hub.log.error("routes_not_restored", routes=possible, error=error.message, again_in_s=_AGAIN_S)
        return old.adapters.keys() <= hub.adapters.keys() and old.routes.keys() <= hub.engines.keys()

    async def _stop_restoring(self) -> None:
        if self._restoring is not None:
            self._restoring.cancel()
            await asyncio.gather(self._restoring, return_exceptions=True)
            self._restoring = None


class _Committed(Struct, frozen=True, kw_only=True):
    rows_changed: int
    crosswalk: Crosswalk
    cursors: dict[str, int]
    loaded: Loaded


def _unopened(deployment: Deployment, name: str, why: str) -> ConfigErrors:
    key = f"adapters.{name}"
    return ConfigErrors([deployment.written.finding(key, f"{key}: it cannot be opened: {why}")])
