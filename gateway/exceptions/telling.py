"""Who is told of exceptions: one message for all that a team has to know, not in its quiet hours.

Each opening of an exception is told once per channel; what could not be told is tried again, ever more
slowly. A message that is repeated has the id that it had, as long as it is about the same exceptions.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from hashlib import blake2b
from typing import Any, Final, Literal

import msgspec
from msgspec import Struct

from canonical.errors import CrossplantError
from canonical.ports import Store, Transaction
from canonical.spec import Log
from config.exceptions import Exceptions, Team
from config.model import Deployment
from gateway.exceptions import hooks, mail, tasks
from gateway.exceptions.tasks import Task

__all__ = ["TABLES", "Telling"]

Channel = Literal["mail", "webhook"]

TABLES = (
    """CREATE TABLE IF NOT EXISTS exception_told (
        exception INTEGER NOT NULL, due_at REAL NOT NULL, channel TEXT NOT NULL, at REAL NOT NULL,
        PRIMARY KEY (exception, due_at, channel)) WITHOUT ROWID""",
)
"""``due_at`` is set when an exception opens and when it reopens, so it tells openings apart."""
_EVERY_S: Final = 5.0
_FIRST_S, _LAST_S = 30.0, 900.0
_LISTED: Final = 50


class _Waiting(Struct):
    """A team's channel that has something to tell. Times are monotonic."""

    since_s: float
    not_before_s: float = 0.0
    failures: int = 0


class Telling:
    """Tells the teams of one hub. ``counted`` counts messages by (owner, channel, outcome: sent, failed)."""

    def __init__(
        self,
        store: Store,
        deployment: Callable[[], Deployment],
        clock: Callable[[], datetime],
        log: Log,
        counted: Counter[tuple[str, str, str]],
    ) -> None:
        self._store, self._deployment, self._clock, self._log = store, deployment, clock, log
        self._counted = counted
        self._waiting: dict[tuple[str, Channel], _Waiting] = {}
        self._task: asyncio.Task[None] | None = None
        self._turn = asyncio.Lock()

    def open(self) -> None:
        """Begins."""
        self._task = asyncio.create_task(self._run(), name="exceptions told")

    async def close(self) -> None:
        """Ends; what was not told, is at the next start."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(_EVERY_S)
            try:
                await self.look()
            except Exception as error:  # noqa: BLE001 - the next round may do better
                self._log.error("exceptions_not_told", error=repr(error))

    async def look(self) -> None:
        """Tells what is to be told now."""
        async with self._turn:
            settings = self._deployment().exceptions
            for owner, team in settings.owners.items():
                if team.mail and settings.mail is not None:
                    await self._channel(owner, team, "mail", settings)
                if team.webhook is not None:
                    await self._channel(owner, team, "webhook", settings)

    async def _channel(self, owner: str, team: Team, channel: Channel, settings: Exceptions) -> None:
        found = await self._store.read(lambda t: _untold(t, owner, channel))
        listed = [task for task in found if not self._quiet(team, task)]
        place = (owner, channel)
        if not listed:
            self._waiting.pop(place, None)
            return
        now_s = time.monotonic()
        waiting = self._waiting.setdefault(place, _Waiting(since_s=now_s))
        if now_s < max(waiting.since_s + settings.gather, waiting.not_before_s):
            return
        try:
            await self._tell(owner, team, channel, settings, listed)
        except CrossplantError as error:
            waiting.not_before_s = now_s + min(_FIRST_S * 2**waiting.failures, _LAST_S)
            waiting.failures += 1
            self._counted[(owner, channel, "failed")] += 1
            self._log.warning("exceptions_not_told", owner=owner, channel=channel, error=error.message)
            return
        self._waiting.pop(place, None)
        self._counted[(owner, channel, "sent")] += 1
        at = self._clock().timestamp()
        await self._store.write(lambda t: _keep(t, listed, channel, at))

    def _quiet(self, team: Team, task: Task) -> bool:
        if team.quiet is None or task.priority <= team.quiet.unless_priority:
            return False
        plant = self._deployment().plants.get(task.plant)
        local = self._clock().astimezone(UTC if plant is None else plant.timezone)
        return team.quiet.holds(local.time())

    def _tell(
        self, owner: str, team: Team, channel: Channel, settings: Exceptions, listed: Sequence[Task]
    ) -> Awaitable[None]:
        identifier = _identifier(owner, channel, listed)
        if channel == "mail":
            assert settings.mail is not None
            many = len(listed)
            subject = listed[0].title if many == 1 else f"{many} exceptions for {owner}"
            text = _text(owner, listed, settings.console, self._deployment())
            return mail.send(settings.mail, team.mail, _line(f"[Crossplant] {subject}"), text, identifier)
        assert team.webhook is not None
        at = self._clock()
        body = msgspec.json.encode(_payload(owner, listed, settings.console, at))
        return hooks.post(team.webhook, identifier, int(at.timestamp()), body)


def _untold(transaction: Transaction, queue: str, channel: str) -> list[Task]:
    """A team's open exceptions whose last opening this channel was not told."""
    rows = transaction.execute(
        "SELECT t.exception, t.due_at FROM exception_told AS t JOIN exceptions AS e ON e.id = t.exception "
        "AND e.due_at = t.due_at WHERE e.status != 'resolved' AND e.queue = ? AND t.channel = ?",
        (queue, channel),
    )
    told = {number for number, _ in rows}
    found = tasks.page(transaction, {"queue": queue}, limit=10_000)
    return [task for task in found if task.id not in told]


def _keep(transaction: Transaction, listed: Sequence[Task], channel: str, at: float) -> None:
    for task in listed:
        transaction.execute(
            "INSERT OR IGNORE INTO exception_told VALUES (?, ?, ?, ?)", (task.id, task.due_at, channel, at)
        )


def _identifier(owner: str, channel: str, listed: Sequence[Task]) -> str:
    about = msgspec.json.encode([owner, channel, sorted((task.id, task.due_at) for task in listed)])
    return f"msg_{blake2b(about, digest_size=12).hexdigest()}"


# ── what is said ────────────────────────────────────────────────────────────────────────────────


def _line(text: str) -> str:
    """On one line, as a header has to be."""
    return " ".join(text.split())[:200]


def _address(console: str, task: Task) -> str:
    return f"{console.rstrip('/')}/exceptions/{task.id}" if console else ""


def _text(owner: str, listed: Sequence[Task], console: str, deployment: Deployment) -> str:
    parts = [f"Exceptions that wait for {owner}, the most urgent first:", ""]
    for task in listed[:_LISTED]:
        plant = deployment.plants.get(task.plant)
        due = datetime.fromtimestamp(task.due_at, UTC if plant is None else plant.timezone)
        where = f" · {task.plant}" if task.plant else ""
        struck = f" · struck {task.occurrences} times" if task.occurrences > 1 else ""
        parts += [_line(task.title), f"  priority {task.priority} · due {due:%d %b %H:%M %Z}{where}{struck}"]
        parts += [f"  {_address(console, task)}"] if console else [f"  exception {task.id}"]
        parts.append("")
    if len(listed) > _LISTED:
        parts += [f"And {len(listed) - _LISTED} more.", ""]
    return "\n".join(parts)


def _payload(owner: str, listed: Sequence[Task], console: str, at: datetime) -> dict[str, Any]:
    names = ("id", "kind", "status", "title", "priority", "assignee", "plant", "route", "occurrences", "refs")
    return {
        "type": "exceptions.opened",
        "timestamp": at,
        "data": {
            "owner": owner,
            "exceptions": [
                {name: getattr(task, name) for name in names}
                | {
                    "opened_at": datetime.fromtimestamp(task.opened_at, UTC),
                    "due_at": datetime.fromtimestamp(task.due_at, UTC),
                    "address": _address(console, task),
                }
                for task in listed
            ],
        },
    }
