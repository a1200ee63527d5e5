"""Which events of a route belong together, and when there are enough of them. Pure.

A group begins with its first event, and is complete by number, by a condition over what it has, or by time.
The completed group is an event of its own, whose id is made from its first member: it exists once.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Literal

from msgspec import Struct

from canonical import catalogue
from canonical.binding import EVENT_VARIABLES
from canonical.errors import Invalid, Stage
from canonical.event import Event
from canonical.expression import Expression, Values, bind, compile_expression

__all__ = ["COMPLETED", "MOST_MEMBERS", "Aggregation", "Group", "Member", "Why", "completed"]

COMPLETED = "integration.aggregate.completed"
MOST_MEMBERS = 1_000
"""A group with so many is complete whatever it waits for."""
GROUP_VARIABLES = (*EVENT_VARIABLES, "items")
"""What a condition sees: the newest event, its data, and the data of all members."""

Why = Literal["count", "condition", "time"]


class Member(Struct, frozen=True, kw_only=True):
    """One event in a group; ``key`` is its idempotency key, ``at`` seconds since 1970 UTC."""

    key: str
    group: str
    data: Any
    at: float
    plant: str | None = None


class Group(Struct, kw_only=True):
    """What has come of a group so far, oldest first."""

    name: str
    members: list[Member]

    @property
    def items(self) -> list[Any]:
        """The data of its members."""
        return [member.data for member in self.members]


class Aggregation:
    """``aggregate:`` of a route."""

    def __init__(
        self,
        by: str | None = None,
        *,
        count: int | None = None,
        within_s: float | None = None,
        when: str | None = None,
    ) -> None:
        """Raises ExpressionError."""
        self.within_s = within_s
        self._count = min(count or MOST_MEMBERS, MOST_MEMBERS)
        self._by: Expression | None = compile_expression(by) if by else None
        self._when = compile_expression(when, GROUP_VARIABLES) if when else None

    def group(self, event: Event, values: Values) -> str:
        """The group's name: what ``by`` gives, else what keeps the event in order. Raises PermanentError."""
        if self._by is None:
            return event.partitionkey or event.subject or event.source
        name = self._by.evaluate(values)
        if not isinstance(name, str | int) or isinstance(name, bool) or name == "":
            raise Invalid(
                f"aggregate.by gives {name!r:.60}, not a text or whole number",
                code="aggregate",
                stage=Stage.PROCESSING,
            )
        return str(name)

    def complete(self, group: Group, event: Event | None = None) -> Why | None:
        """Why it is complete with its newest member, whose event this is. Raises ExpressionError."""
        if len(group.members) >= self._count:
            return "count"
        if self._when is None or event is None:
            return None
        newest = group.members[-1].data
        seen: Mapping[str, Any] = {"event": event, "data": newest, "items": group.items}
        return "condition" if self._when.holds(bind(seen, GROUP_VARIABLES)) else None

    def due_at(self, group: Group) -> float | None:
        """When it is complete whatever it has; seconds since 1970 UTC."""
        return None if self.within_s is None else group.members[0].at + self.within_s


def completed(route: str, group: Group, why: Why, now: datetime) -> Event:
    """The event that a group becomes. Made again of the same members it has the same identity."""
    first, last = group.members[0], group.members[-1]
    data = {
        "route": route,
        "group": group.name,
        "count": len(group.members),
        "why": why,
        "first_at": _instant(first.at),
        "last_at": _instant(last.at),
        "items": group.items,
    }
    kind = catalogue.get(COMPLETED)
    subject = catalogue.default_subject(COMPLETED, data)
    plants = {member.plant for member in group.members}
    return Event(
        id=f"aggregate-{first.key.rpartition(':')[2]}",
        source=f"/hub/routes/{route}",
        type=kind.name,
        time=datetime.fromtimestamp(last.at, UTC),
        recordedtime=now,
        subject=subject,
        plantid=plants.pop() if len(plants) == 1 else None,
        domain=kind.domain,
        partitionkey=catalogue.partition_key(COMPLETED, data, None, subject),
        srcmsgid=f"aggregate-{first.key}",
        data=data,
    )


def _instant(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat().replace("+00:00", "Z")
