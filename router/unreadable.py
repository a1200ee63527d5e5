"""What the disk changed, as a dead letter: which positions, and which routes go without them.

Discarding it gives the bytes up; until then they stay in the journal for whoever can still read them.
"""

from __future__ import annotations

import time

from canonical.ports import Transaction
from deadletter import store as dead_letters
from deadletter.entry import DeadLetter
from router.journal import quarantine
from router.journal.quarantine import Damage

__all__ = ["JOURNAL", "give_up", "record"]

JOURNAL = "journal"
"""The adapter of such a dead letter."""
_CODE = "journal_corrupt"


def record(transaction: Transaction, damage: Damage) -> int:
    """Adds the dead letter; returns its id."""
    who = ", ".join(damage.routes) or "none"
    now = time.time()
    return dead_letters.add(
        transaction,
        DeadLetter(
            kind="message",
            stage="processing",
            code=_CODE,
            error=f"{damage.reason}; they are passed over. Routes that had not delivered them: {who}. "
            "The bytes are kept where they are until this is discarded; a backup may have them whole",
            adapter=JOURNAL,
            position=damage.first,
            message_id=f"{damage.first}-{damage.last}",
            first_at=now,
            last_at=now,
        ),
    )


def give_up(transaction: Transaction) -> None:
    """Releases the bundles whose dead letters somebody has discarded."""
    for (first,) in transaction.execute(
        "SELECT q.first FROM quarantine AS q JOIN dead_letters AS d ON d.kind = 'message' "
        "AND d.adapter = ? AND d.message_id = q.first || '-' || q.last AND d.status = 'discarded'",
        (JOURNAL,),
    ):
        quarantine.release(transaction, int(first))
