"""What people do with dead letters: look, retry, discard. Every act is audited in its own transaction."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from canonical.errors import CrossplantError
from canonical.ports import Outcome, RawMessage, Redeliver, Store, Transaction
from deadletter import store
from deadletter.entry import DeadLetter
from deadletter.groups import Group, groups

__all__ = ["Audit", "DeadLetters", "GivenUp", "NotPossible", "raw_of"]

Audit = Callable[[Transaction, str, str, str, Mapping[str, Any]], None]
"""(transaction, actor, act, subject, details): writes the audit row with the act itself."""

GivenUp = Callable[[Transaction, DeadLetter, str, str], None]
"""(transaction, dead letter, by, reason): what else is over with a delivery that was discarded."""


class NotPossible(CrossplantError):
    """The act does not fit the dead letter's status; the text says which would."""

    code = "not_possible"


class DeadLetters:
    """The service behind CLI, API and console."""

    def __init__(
        self,
        kept: Store,
        redeliver: Redeliver,
        audit: Audit,
        clock: Callable[[], datetime],
        given_up: GivenUp = lambda _transaction, _letter, _by, _reason: None,
    ) -> None:
        self._store, self._redeliver, self._audit, self._clock = kept, redeliver, audit, clock
        self._given_up = given_up

    async def page(
        self,
        filters: Mapping[str, object],
        *,
        plants: Sequence[str] | None = None,
        before: int | None = None,
        limit: int = 100,
    ) -> list[DeadLetter]:
        """Newest first (see ``store.page``). Raises ValueError for an unknown filter."""
        return await self._store.read(
            lambda t: store.page(t, filters, plants=plants, before=before, limit=limit)
        )

    async def groups(
        self,
        filters: Mapping[str, object],
        *,
        plants: Sequence[str] | None = None,
        sees: Callable[[str, str], bool] = lambda _plant, _type: True,
        limit: int = 100,
    ) -> list[Group]:
        """What is open, by fingerprint, the largest group first. Raises ValueError for an unknown filter."""
        now = self._clock().timestamp()
        return await self._store.read(
            lambda t: groups(t, filters, now=now, plants=plants, sees=sees, limit=limit)
        )

    async def show(self, identifier: int) -> DeadLetter:
        """The dead letter. Raises LookupError."""
        letter = await self._store.read(lambda t: store.find(t, identifier))
        if letter is None:
            raise LookupError(f"there is no dead letter {identifier}")
        return letter

    async def retry(
        self,
        identifier: int,
        *,
        by: str,
        reason: str = "",
        retry: int | None = None,
        claimed: Callable[[Transaction], object] | None = None,
        edited: RawMessage | None = None,
    ) -> DeadLetter:
        """Takes a message in again, or lets its lane try the delivery again; returns its new status.

        ``claimed`` runs in the transaction that marks it as being retried. ``edited`` is taken in instead of
        the message as it came. ``reason`` goes into the audit, as does the number of the ``retry`` of many
        that it is part of.

        A delivery is tried in the background: ``retrying`` now, ``recovered`` or ``open`` later.
        Raises LookupError, NotPossible.
        """

        def also(transaction: Transaction, _: DeadLetter) -> None:
            if claimed is not None:
                claimed(transaction)

        told = {name: value for name, value in (("reason", reason), ("retry", retry)) if value}
        letter = await self._claim(identifier, "dead_letter.retry", by, told, also)
        if letter.kind == "delivery":
            try:
                await self._redeliver.release(letter.route, letter.key)
            except LookupError as error:
                await self._store.write(lambda t: store.set_status(t, identifier, "open"))
                raise NotPossible(f"route {letter.route!r} does not run any more: {error}") from error
            return await self.show(identifier)
        try:
            outcome = await self._redeliver.message(edited or raw_of(letter))
        except (CrossplantError, LookupError) as error:
            await self._store.write(lambda t: store.set_status(t, identifier, "open"))
            raise NotPossible(f"adapter {letter.adapter!r} cannot take it in again now: {error}") from error
        await self._decided(identifier, outcome, by)
        return await self.show(identifier)

    async def _decided(self, identifier: int, outcome: Outcome, by: str) -> None:
        if outcome.status in {"invalid", "conflict"}:  # ingest has reopened the row with the new error
            return
        now = self._clock().timestamp()
        await self._store.write(lambda t: store.resolve(t, identifier, "recovered", at=now, by=by))

    async def discard(self, identifier: int, *, by: str, reason: str) -> DeadLetter:
        """Gives it up for good, with a reason; what waited behind it flows.

        Raises LookupError, NotPossible.
        """
        if not reason.strip():
            raise NotPossible("discarding needs a reason, for those who will ask later")
        now = self._clock().timestamp()

        def claimed(transaction: Transaction, letter: DeadLetter) -> None:
            store.resolve(transaction, identifier, "discarded", at=now, by=by, reason=reason)
            if letter.kind == "delivery":
                self._given_up(transaction, letter, by, reason)

        letter = await self._claim(identifier, "dead_letter.discard", by, {"reason": reason}, claimed)
        if letter.kind == "delivery" and letter.position is not None:
            await self._redeliver.discard(letter.route, letter.key, letter.position)
        return await self.show(identifier)

    async def _claim(
        self,
        identifier: int,
        act: str,
        by: str,
        details: Mapping[str, Any] | None = None,
        claimed: Callable[[Transaction, DeadLetter], object] | None = None,
    ) -> DeadLetter:
        """Marks it as being acted upon, so that two people do not act at once."""

        def work(transaction: Transaction) -> DeadLetter:
            letter = store.find(transaction, identifier)
            if letter is None:
                raise LookupError(f"there is no dead letter {identifier}")
            if letter.status != "open":
                raise NotPossible(
                    f"dead letter {identifier} is {letter.status}; only an open one can be acted on"
                )
            store.set_status(transaction, identifier, "retrying")
            if claimed is not None:
                claimed(transaction, letter)
            self._audit(
                transaction, by, act, f"dead_letter/{identifier}", {"error": letter.error, **(details or {})}
            )
            return letter

        return await self._store.write(work)


def raw_of(letter: DeadLetter) -> RawMessage:
    """The message as it came in."""
    return RawMessage(
        adapter=letter.adapter,
        id=letter.message_id,
        body=letter.body,
        content_type=letter.content_type,
        attributes=letter.attributes,
        received_at=datetime.fromtimestamp(letter.first_at, UTC),
    )
