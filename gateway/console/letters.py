"""Dead letters and parked codes in groups, as one look at the store gives them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from msgspec import Struct

from canonical import catalogue
from canonical.event import decode
from canonical.ports import Transaction
from deadletter.entry import DeadLetter
from deadletter.groups import Group as Alike
from gateway.api.letters import plants_of, seen_by
from gateway.auth import Principal
from gateway.console import words
from gateway.hub import Hub

__all__ = ["Group", "Missing", "counts", "fault_of", "groups", "missing", "repair_of", "yesterday"]

_OPEN = "status IN ('open', 'retrying')"
_MOST_GROUPS = 200
_MOST_PARKED = 5000
_EXAMPLES = 50


class Group(Struct, frozen=True, kw_only=True):
    """Open dead letters that failed alike at the same place. Times are seconds since 1970 UTC.

    ``count`` has those that are being tried, ``fresh`` those of the last 24 hours, ``trend`` these by hour.
    """

    fingerprint: str
    kind: str
    code: str
    route: str
    adapter: str
    plant: str
    error: str
    count: int
    open: int
    fresh: int
    first_at: float
    last_at: float
    newest: int
    trend: tuple[int, ...] = ()
    title: str = ""


class Parked(Struct, frozen=True, kw_only=True):
    """One event that waits for a code."""

    route: str
    key: str
    position: int
    plant: str
    entered_at: float
    behind: int
    event: bytes
    error: str


class Missing(Struct, frozen=True, kw_only=True):
    """A code that nobody has explained, and what waits for it, oldest first."""

    domain: str
    system: str
    value: str
    parked: list[Parked]

    @property
    def waiting(self) -> int:
        """Events, those behind the parked ones included."""
        return len(self.parked) + sum(each.behind for each in self.parked)

    @property
    def since(self) -> float:
        """When the first was parked."""
        return min(each.entered_at for each in self.parked)

    @property
    def plants(self) -> list[str]:
        """Whose events wait."""
        return sorted({each.plant for each in self.parked})

    @property
    def routes(self) -> list[str]:
        """Where they wait."""
        return sorted({each.route for each in self.parked})


def yesterday(now: datetime) -> float:
    """24 hours ago: what is newer is new."""
    return (now - timedelta(days=1)).timestamp()


def _bounds(principal: Principal) -> tuple[str, list[object]]:
    """SQL for what somebody may see of dead letters."""
    parts: list[str] = []
    values: list[object] = []
    if principal.plants is not None:
        parts.append(f"AND plant IN ({', '.join('?' * len(principal.plants))})")
        values += sorted(principal.plants)
    if principal.domains is not None:
        types = [kind.name for kind in catalogue.all_types() if kind.domain in principal.domains]
        parts.append(f"AND type IN ({', '.join('?' * len(types))})")
        values += types
    return " ".join(parts), values


async def groups(hub: Hub, principal: Principal) -> list[Group]:
    """The open ones that may be seen, the group with the newest first."""
    found = await hub.dead_letters.groups(
        {}, plants=plants_of(principal), sees=seen_by(principal), limit=_MOST_GROUPS
    )
    return sorted((_group(hub, each) for each in found), key=lambda group: -group.last_at)


async def counts(hub: Hub, principal: Principal) -> dict[str, tuple[int, int]]:
    """Plant (``-``: none) → open ones, and those of them that are new since yesterday."""
    bounds, values = _bounds(principal)
    fresh = yesterday(hub.clock())

    def work(transaction: Transaction) -> dict[str, tuple[int, int]]:
        rows = transaction.execute(
            f"SELECT plant, count(*), sum(first_at >= ?) FROM dead_letters WHERE {_OPEN} {bounds} "  # noqa: S608
            "GROUP BY plant",
            (fresh, *values),
        )
        return {plant or "-": (int(count), int(new)) for plant, count, new in rows}

    return await hub.journal.read(work)


def _group(hub: Hub, alike: Alike) -> Group:
    target = target_of(hub, alike.route)
    return Group(
        fingerprint=alike.fingerprint,
        kind=alike.kind,
        code=alike.code,
        route=alike.route,
        adapter=alike.adapter,
        plant=alike.plant,
        error=alike.error,
        count=alike.open + alike.retrying,
        open=alike.open,
        fresh=sum(alike.trend),
        first_at=alike.first_at,
        last_at=alike.last_at,
        newest=alike.newest,
        trend=alike.trend,
        title=words.fault(alike.kind, alike.code, adapter=alike.adapter, route=alike.route, target=target),
    )


def target_of(hub: Hub, route: str) -> str:
    """The adapter that a route delivers to; empty when it runs no more."""
    engine = hub.engines.get(route)
    return "" if engine is None else engine.route.to


def fault_of(hub: Hub, letter: DeadLetter) -> str:
    """What went wrong, in a line."""
    target = target_of(hub, letter.route)
    return words.fault(letter.kind, letter.code, adapter=letter.adapter, route=letter.route, target=target)


def repair_of(hub: Hub, letter: DeadLetter) -> str:
    """What most likely mends it."""
    target = target_of(hub, letter.route) or letter.route
    return words.repair(
        letter.kind, letter.code, letter.error, adapter=letter.adapter, route=letter.route, target=target
    )


async def missing(hub: Hub, principal: Principal, **only: str) -> list[Missing]:
    """Codes that something is parked for and that may be seen, the one that is missed longest first.

    ``only``: domain, system, value of one.
    """
    conditions = "".join(f" AND l.code_{name} = ?" for name in only)
    values: list[object] = list(only.values())
    if principal.plants is not None:
        conditions += f" AND l.plant IN ({', '.join('?' * len(principal.plants))})"
        values += sorted(principal.plants)

    def work(transaction: Transaction) -> list[Sequence[object]]:
        return list(
            transaction.execute(
                "SELECT l.code_domain, l.code_system, l.code_value, l.route, l.key, l.position, l.plant, "  # noqa: S608
                "l.entered_at, l.event, l.error, (SELECT count(*) FROM lanes AS b WHERE b.route = l.route "
                "AND b.key = l.key AND b.position > l.position) FROM lanes AS l "
                f"WHERE l.state = 'parked' AND l.code_value <> ''{conditions} ORDER BY l.entered_at LIMIT ?",
                (*values, _MOST_PARKED),
            )
        )

    found: dict[tuple[str, str, str], list[Parked]] = {}
    for (
        domain,
        system,
        value,
        route,
        key,
        position,
        plant,
        entered_at,
        event,
        error,
        behind,
    ) in await hub.journal.read(work):
        parked = Parked(
            route=str(route),
            key=str(key),
            position=int(str(position)),
            plant=str(plant),
            entered_at=float(str(entered_at)),
            behind=int(str(behind)),
            event=bytes(event),  # type: ignore[call-overload]
            error=str(error),
        )
        if _sees(principal, parked):
            found.setdefault((str(domain), str(system), str(value)), []).append(parked)
    return [
        Missing(domain=domain, system=system, value=value, parked=parked)
        for (domain, system, value), parked in found.items()
    ]


def _sees(principal: Principal, parked: Parked) -> bool:
    if principal.domains is None:
        return principal.sees(parked.plant or None)
    return principal.sees(parked.plant or None, decode(parked.event).domain or "-")
