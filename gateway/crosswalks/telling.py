"""``masterdata.crosswalk.changed``: every change of a row that has effect, published once.

The change is kept with the row, in its transaction, and removed with the event, in its; so a crash between
the two publishes later and not twice.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Any, Final

from msgspec import structs

from canonical.errors import CrossplantError
from canonical.event import Event
from canonical.ports import Outcome, Transaction
from canonical.spec import Log
from router import crosswalk_changes
from router.crosswalk_changes import Change
from router.journal import IngestBatch, Journal
from router.notices import HUB, notice, notice_message

__all__ = ["Telling"]

_SUFFIX: Final = "masterdata.crosswalk.changed"
_SOURCE: Final = f"{HUB}/crosswalks"
_AT_ONCE: Final = 500
_EVER: Final = 0.0
"""From when a row without a beginning holds: the event has to say, and nothing is older than 1970."""


class Telling:
    """Publishes what changed."""

    def __init__(self, journal: Journal, log: Log) -> None:
        self._journal, self._log = journal, log
        self._one = asyncio.Lock()

    async def tell(self) -> None:
        """Publishes what waits; a disk that does not take it is asked again at the next look."""
        try:
            async with self._one:
                while changes := await self._journal.read(lambda t: crosswalk_changes.waiting(t, _AT_ONCE)):
                    messages = [notice_message(_event(change)) for change in changes]
                    batch = IngestBatch(adapter="hub", messages=messages, within=partial(_told, changes))
                    await self._journal.append(batch, urgent=True)
        except CrossplantError as error:
            self._log.error("crosswalk_changes_not_published", error=error.message)


def _told(
    changes: Sequence[Change], transaction: Transaction, outcomes: Sequence[Outcome]
) -> Sequence[Outcome]:
    crosswalk_changes.told(transaction, changes)
    return outcomes


def _event(change: Change) -> Event:
    row: dict[str, Any] = change.row
    key, version = f"crosswalk-{row['id']}", row.get("version", 1)
    begins, ends = row.get("valid_from"), row.get("valid_to")
    data: dict[str, Any] = {
        "key": key,
        "version": version,
        "operation": change.operation,
        "effective_from": _moment(_EVER if begins is None else begins),
        "steward": row.get("steward") or row.get("approved_by") or row.get("origin") or "hub",
        "snapshot": {name: row[name] for name in sorted(row.keys() - {"id", "version", "created_at"})},
    }
    if ends is not None:
        data["effective_to"] = _moment(ends)
    for name, at in (("valid_from", begins), ("valid_to", ends)):
        if at is not None:
            data["snapshot"][name] = _moment(at)
    made = notice(_SUFFIX, _SOURCE, f"{key}-{version}", None, data)
    return structs.replace(
        made, plantid=row.get("plant") or None, time=datetime.fromtimestamp(change.at, UTC)
    )


def _moment(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat().replace("+00:00", "Z")
