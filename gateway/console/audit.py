"""The audit: who did what to what, before and after, and why; and whether the record of it is whole."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Final
from urllib.parse import quote, urlencode

from fastapi import Query
from msgspec import Struct
from starlette.responses import Response

from canonical.ports import Transaction
from deadletter.edits import Change
from gateway import audit as kept
from gateway.audit import Entry
from gateway.auth import ADMIN, forbidden
from gateway.console.guard import room
from gateway.console.pages import page
from gateway.console.visitor import Looking, Visitor
from gateway.console.words import value

__all__ = ["api", "told"]

api = room()

_LISTED: Final = 100
_CHOICES: Final = 300
_MOST_CHANGES: Final = 50
_WHY: Final = ("why", "reason", "resolution", "text", "refused")
_WHERE: Final = {
    "dead_letter": "/dead-letters/",
    "retry": "/dead-letters/retries/",
    "exception": "/exceptions/",
    "crosswalk": "/codes/rows/",
    "route": "/routes#",
    "adapter": "/adapters#",
}
_Text = Annotated[str, Query(max_length=1024)]


class Told(Struct, frozen=True, kw_only=True):
    """An act in its parts. ``address``: where its subject can be seen, empty where nowhere."""

    entry: Entry
    address: str
    why: str
    changes: list[Change]
    rest: list[tuple[str, str]]


@api.get("/audit")
async def audit(
    visitor: Looking,
    actor: _Text = "",
    act: _Text = "",
    subject: _Text = "",
    before: Annotated[int | None, Query(ge=1)] = None,
    verify: _Text = "",
) -> Response:
    """The newest first. ``verify`` looks at the whole chain."""
    _allow(visitor)
    journal = visitor.hub.journal
    asked = {"actor": actor, "act": act, "subject": subject}
    given = {name: text for name, text in asked.items() if text}
    found = await kept.page(journal, **given, before=before, limit=_LISTED + 1)
    actors, acts = await journal.read(lambda t: (_distinct(t, "actor"), _distinct(t, "act")))
    older = f"/audit?{urlencode({**given, 'before': found[_LISTED - 1].id})}" if len(found) > _LISTED else ""
    return page(
        visitor,
        "audit.html",
        room="/audit",
        acts=[told(entry) for entry in found[:_LISTED]],
        asked=asked,
        actors=actors,
        kinds=acts,
        older=older,
        newest=f"/audit?{urlencode(given)}" if before is not None else "",
        verified=await visitor.hub.audit.verify(journal) if verify else None,
    )


def _allow(visitor: Visitor) -> None:
    visitor.need(ADMIN)
    if not visitor.principal.everywhere:
        raise forbidden("acts belong to no plant: the audit is for keys of all plants and domains")


def _distinct(transaction: Transaction, column: str) -> list[str]:
    rows = transaction.execute(
        f"SELECT DISTINCT {column} FROM audit ORDER BY {column} LIMIT ?",  # noqa: S608 - a column of ours
        (_CHOICES,),
    )
    return [text for (text,) in rows]


def told(entry: Entry) -> Told:
    """What an act's details say: why, what was before and after, and the rest."""
    details = dict(entry.details)
    why = next((str(details.pop(name)) for name in _WHY if details.get(name)), "")
    changes = _changes(details)
    kind, _, name = entry.subject.partition("/")
    address = f"{_WHERE[kind]}{quote(name, safe='')}" if kind in _WHERE and name else ""
    rest = [(name, value(of)) for name, of in details.items() if of not in (None, "", [], {})]
    return Told(entry=entry, address=address, why=why, changes=changes, rest=rest)


def _changes(details: dict[str, Any]) -> list[Change]:
    """Takes what tells a difference out of the details: ``changes``, or ``before`` and ``after``."""
    listed = details.get("changes")
    if isinstance(listed, list) and all(isinstance(each, Mapping) and "at" in each for each in listed):
        del details["changes"]
        return [
            Change(at=str(each["at"]), before=each.get("before"), after=each.get("after"))
            for each in listed[:_MOST_CHANGES]
        ]
    if "after" not in details:
        return []
    before, after = details.pop("before", None) or {}, details.pop("after") or {}
    if not (isinstance(before, Mapping) and isinstance(after, Mapping)):
        return [Change(at="", before=before, after=after)]
    names = [*after, *(name for name in before if name not in after)]
    return [
        Change(at=name, before=before.get(name), after=after.get(name))
        for name in names
        if (before.get(name) or None) != (after.get(name) or None)
    ]
