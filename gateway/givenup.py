"""What else is over with a delivery that a person discards, in the transaction that says so."""

from __future__ import annotations

from canonical.event import decode
from canonical.ports import Transaction
from deadletter.entry import DeadLetter
from deadletter.service import Audit, GivenUp
from router import outgoing, splitting
from router.idempotency import idempotency_key

__all__ = ["given_up"]


def given_up(audit: Audit) -> GivenUp:
    """Forgets how far a split document has got, and tells in the audit of a control reference that nobody
    will see: partners miss it in the row of numbers, and ask."""

    def over(transaction: Transaction, letter: DeadLetter, by: str, reason: str) -> None:
        if letter.event is None:
            return
        key = idempotency_key(letter.route, decode(letter.event))
        splitting.forget(transaction, key)
        found = outgoing.unsent(transaction, key)
        if found is not None:
            subject = f"interchange/{'/'.join(found)}"
            told = {"dead_letter": letter.id, "route": letter.route, "reason": reason}
            audit(transaction, by, "interchange.given_up", subject, told)

    return over
