"""What needs a person now, what has the worst consequence first, each with the one action that helps."""

from __future__ import annotations

from datetime import datetime
from itertools import groupby

from msgspec import Struct

from deadletter.edits import Edit
from deadletter.entry import DeadLetter
from gateway.console.addresses import code_address
from gateway.console.letters import Group, Missing
from gateway.console.levels import Level
from gateway.console.state import RouteRow, Severity, Tile
from gateway.exceptions import Task
from gateway.hub import Hub
from router.crosswalk import Row

__all__ = ["Need", "needs"]


class Need(Struct, frozen=True, kw_only=True):
    """One thing. ``word`` names the severity; ``action`` is the text of the link to ``address``; ``task``
    says who takes care of it."""

    severity: Severity
    word: str
    title: str
    detail: str
    plant: str | None
    since: datetime | float | None
    address: str
    action: str
    task: Task | None = None


def needs(
    hub: Hub,
    levels: list[Level],
    tiles: list[Tile],
    routes: list[RouteRow],
    groups: list[Group],
    codes: list[Missing],
    tasks: list[Task],
    edits: list[tuple[Edit, DeadLetter]],
    drafts: list[Row],
) -> list[Need]:
    """In the order in which a person should take them."""
    by_cause = {task.cause: task for task in tasks}
    return [
        *_storage(hub),
        *_promises(levels, tasks),
        *_paused(hub, routes),
        *_away(tiles, {route.to for route in routes if route.severity}),
        *(_told(hub, task) for task in tasks if "exception" in task.refs),
        *(_letters(group, by_cause.get(f"dead/{group.fingerprint}")) for group in groups),
        *(_edit(edit, letter) for edit, letter in edits),
        *(_code(code, by_cause.get(f"code/{code.domain}/{code.system}/{code.value}")) for code in codes),
        *_drafts(drafts),
        *_silent(tiles),
    ]


def _storage(hub: Hub) -> list[Need]:
    if not hub.journal.full:
        return []
    return [
        Need(
            severity="failed",
            word="full",
            title="The journal is at its size limit: nothing more is taken in",
            detail="Sources wait until routes have caught up; journal.retain_size sets the limit.",
            plant=None,
            since=None,
            address="/routes",
            action="See which route lags",
        )
    ]


def _promises(levels: list[Level], tasks: list[Task]) -> list[Need]:
    """Breaches and what will be one, the nearest first; one need a level, whatever plants it is for."""
    found: list[Need] = []
    bad = sorted((level for level in levels if level.severity), key=lambda level: (level.name, level.urgency))
    for name, group in groupby(bad, key=lambda level: level.name):
        rows = sorted(group, key=lambda level: level.urgency)
        first = rows[0]
        where = ", ".join(row.plant_name for row in rows)
        found.append(
            Need(
                severity=first.severity,
                word=first.word,
                title=f"Service level {name} {first.verb} in {where}",
                detail=first.detail,
                plant=None,
                since=None,
                address=f"/service-levels#{name}",
                action="See why",
                task=next((task for task in tasks if task.refs.get("sla") == name), None),
            )
        )
    return sorted(found, key=lambda need: need.severity != "failed")


def _paused(hub: Hub, routes: list[RouteRow]) -> list[Need]:
    """One per target that is away, however many routes lead there."""
    found = []
    paused = sorted((route for route in routes if route.severity), key=lambda route: route.to)
    for target, group in groupby(paused, key=lambda route: route.to):
        rows = list(group)
        waiting, away_s = sum(row.waiting for row in rows), max(row.paused_for_s or 0.0 for row in rows)
        names = ", ".join(row.name for row in rows)
        found.append(
            Need(
                severity="warning",
                word="away",
                title=f"{target} does not answer: {waiting:,} event{'' if waiting == 1 else 's'} wait",
                detail=f"{names}: {rows[0].reason}. They go on by themselves when it is back.",
                plant=None,
                since=hub.clock().timestamp() - away_s,
                address=f"/adapters#{target}",
                action=f"See {target}",
            )
        )
    return found


def _away(tiles: list[Tile], told: set[str]) -> list[Need]:
    return [
        Need(
            severity="failed",
            word="not connected",
            title=f"{tile.name} has no connection",
            detail=tile.detail,
            plant=tile.plant,
            since=tile.last_good_at,
            address=f"/adapters#{tile.name}",
            action=f"See {tile.name}",
        )
        for tile in tiles
        if tile.severity == "failed" and tile.name not in told
    ]


def _told(hub: Hub, task: Task) -> Need:
    """What another part of the hub found, such as an acknowledgement that is overdue."""
    late = task.due_at < hub.clock().timestamp()
    return Need(
        severity="failed" if late else "attention",
        word="overdue" if late else task.kind,
        title=task.title,
        detail=f"It belongs to {task.queue}.",
        plant=task.plant or None,
        since=task.opened_at,
        address=f"/exceptions/{task.id}",
        action="Open the task",
        task=task,
    )


def _edit(edit: Edit, letter: DeadLetter) -> Need:
    return Need(
        severity="attention",
        word="approval",
        title=f"An edit of dead letter {letter.id} waits for a second person",
        detail=f"{edit.author}: {edit.reason}",
        plant=letter.plant or None,
        since=edit.at,
        address=f"/dead-letters/{letter.id}",
        action="Look at it",
    )


def _letters(group: Group, task: Task | None) -> Need:
    several = group.count != 1
    return Need(
        severity="failed",
        word=f"{group.count:,} dead letter{'s' if several else ''}",
        title=group.title,
        detail=group.error,
        plant=group.plant or None,
        since=group.first_at,
        address=f"/dead-letters?group={group.fingerprint}" if several else f"/dead-letters/{group.newest}",
        action="Open the group" if several else "Open it",
        task=task,
    )


def _code(code: Missing, task: Task | None) -> Need:
    waiting = code.waiting
    return Need(
        severity="attention",
        word="unknown code",
        title=f"Nobody has said what {code.domain} {code.value} of {code.system} is",
        detail=f"{waiting:,} {'event waits' if waiting == 1 else 'events wait'} on {', '.join(code.routes)}.",
        plant=code.plants[0] or None if len(code.plants) == 1 else None,
        since=code.since,
        address=code_address(code.domain, code.system, code.value),
        action="Say what it is",
        task=task,
    )


def _drafts(drafts: list[Row]) -> list[Need]:
    if not drafts:
        return []
    first, many = drafts[0], len(drafts)
    return [
        Need(
            severity="attention",
            word="approval",
            title=f"{many:,} proposed code{' waits' if many == 1 else 's wait'} for a steward",
            detail=f"{first.steward}: {first.domain} {first.value} of {first.system} is {first.canonical}"
            + (f", and {many - 1:,} more" if many > 1 else ""),
            plant=first.plant or None,
            since=first.created_at,
            address=f"/codes/rows/{first.id}" if many == 1 else "/codes",
            action="Look at it" if many == 1 else "Look at them",
        )
    ]


def _silent(tiles: list[Tile]) -> list[Need]:
    return [
        Need(
            severity="stale",
            word="no data",
            title=f"{tile.name} is connected, but sends nothing",
            detail=tile.detail,
            plant=tile.plant,
            since=tile.last_good_at,
            address=f"/adapters#{tile.name}",
            action=f"See {tile.name}",
        )
        for tile in tiles
        if tile.severity == "stale"
    ]
