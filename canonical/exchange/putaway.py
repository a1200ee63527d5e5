"""Where a file goes once the hub has said what became of it: archive, removal, or error with a reason.

Nothing is overwritten, and nothing is moved that was not taken: a file that changed since it was read
stays, or is put back, and is picked up as a new one.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from msgspec import Struct, structs

from canonical.exchange.folder import Entry, Exists, Folder
from canonical.exchange.naming import (
    REASON,
    done_name,
    free_names,
    leftover_name,
    leftover_of,
    message_id,
    reason_text,
)
from canonical.exchange.options import DoneFile, PickUp
from canonical.ports import Outcome
from canonical.spec import Log

__all__ = ["Pick", "PutAway", "Refusal", "refusal_of"]

_MOST_DETAILS = 50
_AGAIN = "Correct it, then put it again into the folder that it came from"


class Pick(Struct, frozen=True):
    """A file that was read, as it was then, and the id of its message."""

    entry: Entry
    id: str


class Refusal(Struct, frozen=True):
    """Why a file goes to ``error``: what is wrong, what to do, and the places in it that are wrong."""

    what: str
    to_do: str
    details: tuple[str, ...] = ()


def refusal_of(outcome: Outcome) -> Refusal | None:
    """Why the hub refused a message; None when it is safe with the hub."""
    kept = f"; as it was, it is kept as dead letter {outcome.dead_letter}" if outcome.dead_letter else ""
    details = tuple(f"{where}: {what}" for where, what in outcome.errors[:_MOST_DETAILS])
    match outcome.status:
        case "invalid":
            what = "its content cannot be read as what it should be"
            if outcome.positions:
                what = "what it holds was rejected"
            return Refusal(what, f"{_AGAIN}{kept}.", details)
        case "conflict":
            return Refusal(
                "its content has the identity of something that was taken in before with other content",
                f"Ask its sender which of the two is right. {_AGAIN}, under an identity of its own{kept}.",
                details,
            )
        case "accepted" | "duplicate" | "ignored":
            return None


class PutAway:
    """Moves what was taken. Raises what ``Folder`` raises; the same call again goes on where it stopped."""

    def __init__(
        self, folder: Folder, rules: PickUp, where: str, clock: Callable[[], datetime], log: Log
    ) -> None:
        self._folder, self._rules, self._where = folder, rules, where
        self._clock, self._log = clock, log

    async def settle(self, pick: Pick, outcome: Outcome) -> None:
        """Puts a file away as its outcome says."""
        name = pick.entry.name
        there = await self._folder.stat(name)
        if not pick.entry.same_version(there):
            self._log.info("file_not_moved", file=name, reason="changed since" if there else "gone")
            return
        if isinstance(self._rules.ready, DoneFile):  # first: it must not speak for the next file of this name
            await self._folder.remove(done_name(self._rules.ready.name, name))
        refusal = refusal_of(outcome)
        if refusal is not None:
            await self._refuse(pick.entry, refusal)
        elif self._rules.delete:
            await self._remove(pick)
        else:
            await self._move(pick.entry, self._rules.archive)

    async def refuse(self, entry: Entry, refusal: Refusal) -> None:
        """Puts a file away that was not even read."""
        if isinstance(self._rules.ready, DoneFile):
            await self._folder.remove(done_name(self._rules.ready.name, entry.name))
        await self._refuse(entry, refusal)

    async def clear(self, leftover: Entry) -> None:
        """Removes what an earlier process had still to remove, if it is what was safe with the hub then."""
        name = leftover_of(leftover.name)
        if name is None or not self._rules.delete or leftover.kind != "file":
            return
        original = structs.replace(leftover, name=name)
        content = await self._folder.read(leftover.name, leftover.size_bytes)
        if leftover_name(name, message_id(self._where, original, content)) == leftover.name:
            await self._folder.remove(leftover.name)
        else:
            await self._put_back(leftover.name, name)

    async def _refuse(self, entry: Entry, refusal: Refusal) -> None:
        text = reason_text(
            what=f"{entry.name} was refused: {refusal.what}",
            where=f"{self._where}/{entry.name}",
            to_do=refusal.to_do,
            now=self._clock(),
            details=refusal.details,
        )
        to = await self._move(entry, self._rules.error, text.encode())
        self._log.warning("file_refused", file=entry.name, moved_to=to, reason=refusal.what)

    async def _remove(self, pick: Pick) -> None:
        """By way of another name: what the sender writes at this moment must not be removed with it."""
        hidden = leftover_name(pick.entry.name, pick.id)
        await self._folder.move(pick.entry.name, hidden, replace=True)
        if await self._is_ours(pick.entry, hidden):
            await self._folder.remove(hidden)

    async def _move(self, entry: Entry, into: str, reason: bytes = b"") -> str:
        for name in free_names(entry.name, self._clock()):
            to = f"{into}/{name}"
            if (there := await self._folder.stat(to)) is not None:
                if entry.same_version(there) and await self._moved_before(entry, to):
                    return to
                continue
            if reason:  # before the move: a refused file is never without its reason
                await self._folder.write(to + REASON, reason)
            try:
                await self._folder.move(entry.name, to)
            except Exists:
                continue
            await self._is_ours(entry, to)
            return to
        raise Exists(f"{self._where}/{into} has no free name left for {entry.name!r}; clear it out")

    async def _moved_before(self, entry: Entry, to: str) -> bool:
        """Whether a process ended between the two halves of this very move; does the second half then."""
        content = await self._folder.read(to, entry.size_bytes)
        if content != await self._folder.read(entry.name, entry.size_bytes):
            return False
        if entry.same_version(await self._folder.stat(entry.name)):
            await self._folder.remove(entry.name)
        return True

    async def _is_ours(self, entry: Entry, at: str) -> bool:
        """Whether what was moved is what was taken; if not, it is put back."""
        if entry.same_version(await self._folder.stat(at)):
            return True
        await self._put_back(at, entry.name)
        return False

    async def _put_back(self, at: str, name: str) -> None:
        for free in free_names(name, self._clock()):
            try:
                await self._folder.move(at, free)
            except Exists:
                continue
            self._log.warning("file_put_back", file=name, name=free, reason="it is not what was taken")
            return
