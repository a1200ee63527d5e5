"""What an edit of a dead letter needs of the hub: whether its content would do, and its place in a lane."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

import msgspec

from canonical import catalogue
from canonical.errors import Invalid
from canonical.event import decode
from canonical.jsontext import read_json
from canonical.ports import RawMessage, Transaction
from deadletter.entry import DeadLetter
from gateway.compile import decoder_of
from gateway.connections import RunningAdapter
from router import lanes

__all__ = ["Amending"]


class Amending:
    """Implements ``deadletter.edits.Amend`` with the adapters that run."""

    def __init__(self, adapters: Mapping[str, RunningAdapter]) -> None:
        self._adapters = adapters

    async def faults(self, letter: DeadLetter, content: bytes) -> Sequence[tuple[str, str]]:
        """See ``deadletter.edits.Amend``."""
        return self._of_message(letter, content) if letter.kind == "message" else _of_data(letter, content)

    def _of_message(self, letter: DeadLetter, content: bytes) -> Sequence[tuple[str, str]]:
        running = self._adapters.get(letter.adapter)
        if running is None or running.source is None:
            return [("", f"adapter {letter.adapter!r} takes nothing in any more")]
        raw = RawMessage(
            adapter=letter.adapter,
            id=letter.message_id,
            body=content,
            content_type=letter.content_type,
            attributes=letter.attributes,
            received_at=datetime.fromtimestamp(letter.first_at, UTC),
        )
        decoder = decoder_of(running.config, running.context)
        _, items = decoder.decode(running.decoder_state, raw)
        found = list(items)
        wrong = [item for item in found if isinstance(item, Invalid)]
        if not found:
            return [("", "the format finds nothing in it")]
        return [fault for item in wrong for fault in (item.errors or [("", item.message)])]

    def amend(self, transaction: Transaction, route: str, key: str, position: int, event: bytes) -> None:
        """See ``deadletter.edits.Amend``."""
        if not lanes.amend(transaction, route, key, position, event):
            raise LookupError(f"the delivery at position {position} waits on route {route!r} no more")


def _of_data(letter: DeadLetter, content: bytes) -> Sequence[tuple[str, str]]:
    try:
        data = read_json(content)
    except Invalid as error:
        return error.errors or [("", error.message)]
    if letter.event is None:
        return [("", "the dead letter has no event")]
    event = decode(letter.event)
    try:
        wrong = catalogue.validate(event.type, data)
        if wrong:
            return [(fault.pointer, fault.detail) for fault in wrong]
        subject = event.subject
        key = catalogue.partition_key(event.type, data, event.plantid, subject)
    except (LookupError, ValueError, msgspec.MsgspecError) as error:
        return [("", str(error))]
    if event.partitionkey is not None and key != catalogue.partition_key(
        event.type, event.data, event.plantid, subject
    ):
        return [
            ("", "this would make it another key, and change the order: correct it at its source instead")
        ]
    return []
