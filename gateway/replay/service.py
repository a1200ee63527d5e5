"""Replays as people ask for them: begun, watched, stopped, gone on with; also after a restart."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from msgspec import structs

from canonical.errors import CrossplantError
from canonical.event import Event
from canonical.ports import Transaction
from deadletter.service import NotPossible
from gateway import recipes, versions
from gateway.crosswalks.importing import FILES
from gateway.replay import sending, store
from gateway.replay.delivered import committed_before
from gateway.replay.making import Ask, Maker
from gateway.replay.sending import Gone, Sending, TooManyFailures
from gateway.replay.store import Asked, Replay, State
from gateway.replay.trying import DryRun
from router.crosswalk import Crosswalk, Row
from router.journal import StorageError

if TYPE_CHECKING:
    from gateway.runtime import Hub

__all__ = ["MOST_PER_S", "Replays"]

MOST_PER_S: Final = 1000.0
_STORAGE_S: Final = 1.0
_FILES: Final = 20
"""So many dry runs keep their differences; those of older ones are removed."""
_FOLDER: Final = "replays"


class Replays:
    """The replays of one hub."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self._work: dict[int, DryRun | Sending] = {}

    async def open(self) -> None:
        """Goes on with deliveries that a restart interrupted; a dry run has to be begun anew."""
        running = await self._hub.journal.read(lambda t: store.page(t, "WHERE state = 'running'", ()))
        for replay in running:
            if replay.asked.dry_run:
                await self._ended(replay, "failed", "a restart of the hub interrupted it: begin it anew")
            else:
                self._start(replay.id, self._sending(replay))

    async def close(self) -> None:
        """Ends the work; deliveries go on at the next start."""
        for task in self._tasks.values():
            task.cancel()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)

    # ── what people ask ──────────────────────────────────────────────────────────────────────────

    async def begin(
        self, route: str, asked: Asked, *, by: str, recipe: recipes.Written | None, rows: Sequence[Row] | None
    ) -> Replay:
        """Begins one over what the route has settled by now. ``recipe`` and ``rows``: what another
        configuration makes, for a dry run; by default what runs.

        Raises LookupError for an unknown route, ValueError, ConfigError for a recipe that is none, and
        NotPossible when nothing was taken in then.
        """
        if not asked.dry_run and not 0.0 < asked.rate <= MOST_PER_S:
            raise ValueError(f"the rate is to be more than 0 and at most {MOST_PER_S:g} a second")
        hub = self._hub
        maker = self._maker(route, recipe) if asked.dry_run else None
        if maker is None:
            self._outlet(route)()
        engine = hub.engines.get(route)
        settled = engine.status.cursor if engine is not None else hub.journal.head
        await hub.journal.write(lambda _: None)  # what was settled until now is in the record

        def bounds(transaction: Transaction) -> tuple[int, int]:
            first = committed_before(transaction, asked.since) + 1
            last = settled if asked.until is None else committed_before(transaction, asked.until)
            return first, min(last, settled)

        first, last = await hub.journal.read(bounds)
        if last < first:
            raise NotPossible("the route has settled nothing that was taken in then")
        at = hub.clock().timestamp()

        def work(transaction: Transaction) -> int:
            number = store.add(transaction, route=route, by=by, at=at, asked=asked, first=first, last=last)
            told = structs.asdict(asked) | {"route": route, "first": first, "last": last}
            hub.audit.record(transaction, by, "replay.begin", f"replay/{number}", told)
            return number

        number = await hub.journal.write(work)
        replay = await self.show(number)
        if maker is None:
            self._start(number, self._sending(replay))
        else:
            self._start(number, await self._dry_run(replay, maker, rows))
        return await self.show(number)

    async def show(self, number: int) -> Replay:
        """How far it is. Raises LookupError."""
        found = await self._hub.journal.read(lambda t: store.page(t, "WHERE id = ?", (number,)))
        if not found:
            raise LookupError(f"there is no replay {number}")
        return self._live(found[0])

    async def page(self, *, before: int | None = None, limit: int = 100) -> list[Replay]:
        """The newest first, those with an id below ``before``."""
        where, values = ("", (limit,)) if before is None else ("WHERE id < ? ", (before, limit))
        found = await self._hub.journal.read(
            lambda t: store.page(t, f"{where}ORDER BY id DESC LIMIT ?", values)
        )
        return [self._live(replay) for replay in found]

    async def failures(self, number: int, *, after: int, limit: int) -> list[dict[str, Any]]:
        """What could not be delivered, by position."""
        rows = await self._hub.journal.read(
            lambda t: t.execute(
                "SELECT position, key, code, error FROM replay_failures WHERE replay = ? AND position > ? "
                "ORDER BY position LIMIT ?",
                (number, after, limit),
            )
        )
        return [dict(zip(("position", "key", "code", "error"), row, strict=True)) for row in rows]

    async def stop(self, number: int, *, by: str) -> Replay:
        """Nothing more is done until ``resume``; a dry run is over. Raises LookupError, NotPossible."""
        await self._turn(number, "running", "stopped", by)
        task, work = self._tasks.pop(number, None), self._work.get(number)
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        if work is not None:
            replay = await self.show(number)
            await self._saved(replay, work)
        return await self.show(number)

    async def resume(self, number: int, *, by: str) -> Replay:
        """Goes on where it stood. Raises LookupError, NotPossible."""
        replay = await self.show(number)
        if replay.asked.dry_run:
            raise NotPossible("a dry run is not gone on with: begin it anew")
        self._outlet(replay.route)()
        await self._turn(number, "stopped", "running", by)
        self._start(number, self._sending(await self.show(number)))
        return await self.show(number)

    def file(self, number: int) -> Path:
        """The differences of a dry run as NDJSON. Raises LookupError when they are not there."""
        path = self._path(number)
        if not path.exists():
            raise LookupError(f"there are no differences of replay {number}, or not any more")
        return path

    async def _turn(self, number: int, old: State, new: State, by: str) -> None:
        def work(transaction: Transaction) -> None:
            found = store.page(transaction, "WHERE id = ?", (number,))
            if not found:
                raise LookupError(f"there is no replay {number}")
            if found[0].state != old:
                raise NotPossible(f"replay {number} is {found[0].state}, not {old}")
            transaction.execute("UPDATE replays SET state = ? WHERE id = ?", (new, number))
            self._hub.audit.record(transaction, by, f"replay.{new}", f"replay/{number}", {})

        await self._hub.journal.write(work)

    # ── the work ─────────────────────────────────────────────────────────────────────────────────

    def _maker(self, route: str, recipe: recipes.Written | None) -> Maker:
        deployment = self._hub.deployment
        if recipe is None:
            if route not in deployment.routes:
                raise LookupError(f"no route {route!r} is configured")
            recipe = recipes.written(route, deployment)
        elif isinstance(function := recipe.route.get("map"), str):
            running = deployment.routes.get(route)
            if running is None or running.map != function:
                raise ValueError("another function than the one that runs is not called for a dry run")
        return Maker(recipes.compiled(route, recipe, deployment.python), self._ask())

    def _ask(self) -> Ask:
        """The read models, for the thread of a dry run."""
        loop, models = asyncio.get_running_loop(), self._hub.models
        return lambda questions: asyncio.run_coroutine_threadsafe(models.find(questions), loop).result()

    async def _dry_run(self, replay: Replay, maker: Maker, rows: Sequence[Row] | None) -> DryRun:
        hub = self._hub
        known = await hub.journal.read(lambda t: versions.recipes(t, replay.route))
        then = now = hub.crosswalks.current
        if rows is not None:
            kept = [row for row in await hub.crosswalks.list() if row.origin != FILES]
            now = Crosswalk([*kept, *rows])
        await asyncio.to_thread(self._make_room)
        return DryRun(
            hub.journal,
            replay.route,
            maker,
            known,
            python=hub.deployment.python,
            ask=self._ask(),
            then=then,
            now=now,
            first=replay.first,
            last=replay.last,
            sees=_sees(replay.asked),
            file=self._path(replay.id),
        )

    def _path(self, number: int) -> Path:
        return self._hub.data_dir / _FOLDER / f"{number}.ndjson"

    def _make_room(self) -> None:
        folder = self._hub.data_dir / _FOLDER
        folder.mkdir(mode=0o700, exist_ok=True)
        for path in sorted(folder.glob("*.ndjson"), key=lambda path: int(path.stem))[: -(_FILES - 1)]:
            path.unlink()

    def _outlet(self, route: str) -> Callable[[], sending.Outlet]:
        """Raises Gone when it is called and there is none."""
        return lambda: self._hub.routing.outlet(route)

    def _sending(self, replay: Replay) -> Sending:
        hub, asked = self._hub, replay.asked
        made: list[Sending] = []

        def save(transaction: Transaction) -> None:
            _save(transaction, replay, made[0])

        made.append(
            Sending(
                replay.id,
                hub.journal,
                self._outlet(replay.route),
                lambda: hub.crosswalks.current,
                by=replay.by,
                rate=asked.rate,
                as_new=asked.as_new,
                reached=replay.reached,
                last=replay.last,
                counts=replay.result.get("counts", {}),
                sees=_sees(asked),
                save=save,
                clock=hub.clock,
                log=hub.log,
            )
        )
        return made[0]

    def _start(self, number: int, work: DryRun | Sending) -> None:
        self._work[number] = work
        self._tasks[number] = asyncio.create_task(self._run(number, work), name=f"replay {number}")

    async def _run(self, number: int, work: DryRun | Sending) -> None:
        replay = await self.show(number)
        while True:
            try:
                await work.run()
            except (Gone, TooManyFailures) as error:
                await self._ended(replay, "stopped", str(error))
            except StorageError as error:
                if isinstance(work, DryRun):
                    await self._ended(replay, "failed", error.message)
                    return
                self._hub.log.error("replay_held_up", replay=number, error=error.message)
                await asyncio.sleep(_STORAGE_S)
                continue
            except (CrossplantError, OSError) as error:
                await self._ended(replay, "failed", str(error))
            else:
                await self._ended(replay, "done")
            return

    async def _ended(self, replay: Replay, state: State, problem: str = "") -> None:
        work, now = self._work.get(replay.id), self._hub.clock().timestamp()
        reached = replay.reached if work is None else work.reached
        result = replay.result if work is None else result_of(work)

        def save(transaction: Transaction) -> None:
            store.save(
                transaction,
                replay.id,
                reached=reached,
                last=replay.last,
                result=result,
                state=state,
                problem=problem,
                ended_at=None if state == "stopped" else now,
            )

        await self._hub.journal.write(save)
        self._work.pop(replay.id, None)
        self._tasks.pop(replay.id, None)

    async def _saved(self, replay: Replay, work: DryRun | Sending) -> None:
        await self._hub.journal.write(lambda t: _save(t, replay, work))
        self._work.pop(replay.id, None)

    def _live(self, replay: Replay) -> Replay:
        work = self._work.get(replay.id)
        return (
            replay if work is None else structs.replace(replay, reached=work.reached, result=result_of(work))
        )


def _save(transaction: Transaction, replay: Replay, work: DryRun | Sending) -> None:
    store.save(transaction, replay.id, reached=work.reached, last=replay.last, result=result_of(work))


def result_of(work: DryRun | Sending) -> dict[str, Any]:
    """What came of it so far."""
    if isinstance(work, Sending):
        return {"counts": dict(work.counts)}
    fields = sorted(work.tally.fields.items(), key=lambda entry: -entry[1].events)
    return {
        "events": work.events,
        "counts": dict(work.counts),
        "fields": [
            {"field": name, "events": field.events, "examples": field.examples} for name, field in fields
        ],
        "examples": work.examples,
        "truncated": work.truncated,
    }


def _sees(asked: Asked) -> Callable[[Event], bool]:
    """Whether an event is within what the one who asked may see."""
    plants = None if asked.plants is None else set(asked.plants)
    domains = None if asked.domains is None else set(asked.domains)
    return lambda event: (
        (plants is None or (event.plantid or "") in plants)
        and (domains is None or (event.domain or "-") in domains)
    )
