"""From a source to the journal: decode, validate, append, and only then acknowledge.

The only place that acknowledges upstream. What cannot be decoded, or has the identity of another
event, becomes a dead letter in the same transaction as the rest of its batch.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import aclosing
from datetime import datetime
from typing import Any, Protocol

from msgspec import Struct, structs

from canonical import catalogue
from canonical.errors import Invalid, Stage
from canonical.event import Event
from canonical.ledger import Earlier, FileEntry, InterchangeEntry
from canonical.ports import (
    BulkDecoder,
    Decoder,
    Inbound,
    LedgerDecoder,
    Outcome,
    RawMessage,
    Source,
    Transaction,
)
from canonical.spec import Health, Log
from deadletter import store as dead_letters
from deadletter.entry import DeadLetter
from router import sequences
from router.failpoint import failpoint
from router.journal import Claim, IngestBatch, Journal, Message, StorageError
from router.notices import dead_lettered, notice_message

__all__ = ["Ingest", "IngestObserver", "Intake"]

_STORAGE_RETRY_S = 0.5
_TYPES = frozenset(entry.name for entry in catalogue.all_types())
_DECODE_OFF_LOOP_BYTES = 256 * 1024
_MANY, _AT_ONCE = 4, 100
"""Messages that are worth a bulk decoder's while, and how many of them an odd one keeps from it."""
SOURCE, DECODER = "source", "decoder"
"""Names of the durable states of an adapter."""


class Intake(Struct, kw_only=True):
    """One adapter that takes something in. ``state`` is its decoder's, as last committed."""

    name: str
    source: str
    plant: str | None
    decoder: Decoder
    health: Health
    state: bytes | None = None


class IngestObserver(Protocol):
    """Who counts what came in; once per batch."""

    def ingested(self, adapter: str, messages: Sequence[Message], outcomes: Sequence[Outcome]) -> None: ...


class Ingest:
    """The way in of every adapter."""

    def __init__(
        self, journal: Journal, observer: IngestObserver, clock: Callable[[], datetime], log: Log
    ) -> None:
        self._journal, self._observer, self._clock, self._log = journal, observer, clock, log
        self._intakes: dict[str, Intake] = {}
        self._turns: dict[str, asyncio.Lock] = {}

    def add(self, intake: Intake) -> None:
        """Makes an adapter known."""
        self._intakes[intake.name] = intake
        self._turns[intake.name] = asyncio.Lock()

    def remove(self, name: str) -> None:
        """Forgets an adapter; what it has under way is finished."""
        self._intakes.pop(name, None)

    def redecode(self, name: str, decoder: Decoder) -> None:
        """Reads with another decoder from the next batch on; its state begins anew."""
        self._intakes[name] = structs.replace(self._intakes[name], decoder=decoder, state=None)

    async def run(self, name: str, source: Source) -> None:
        """Takes in what the source yields until it ends. Storage faults hold it back, they lose nothing."""
        async with aclosing(source.receive()) as inbounds:  # type: ignore[type-var]  # a generator in practice
            async for inbound in inbounds:
                outcomes = await self._until_stored(name, inbound)
                failpoint("ingest.after_commit")
                await inbound.ack(outcomes)

    async def _until_stored(self, name: str, inbound: Inbound) -> Sequence[Outcome]:
        while True:
            try:
                return await self.submit(name, inbound.messages, state=inbound.state, files=inbound.files)
            except StorageError as error:
                self._log.error("ingest_held_back", adapter=name, error=error.message)
                await asyncio.sleep(_STORAGE_RETRY_S)

    async def submit(
        self,
        name: str,
        raws: Sequence[RawMessage],
        *,
        state: bytes | None = None,
        files: Sequence[FileEntry] = (),
    ) -> Sequence[Outcome]:
        """Durable when it returns; one outcome per message. Raises LookupError, StorageError.

        ``files`` are the messages' pick-ups, each taken in once; without them, as when a person asks for
        it, a message is taken in again. With a decoder that keeps a state, an adapter's batches are taken
        in one after the other.
        """
        intake = self._intakes.get(name)
        if intake is None:
            raise LookupError(f"no adapter {name!r} takes messages in")
        async with self._turns[name]:
            decoded, messages, claims = await self._decode(intake, raws)
            if files:
                claims += [Claim(message=index, entry=entry) for index, entry in enumerate(files)]
                claims.sort(key=lambda claim: (claim.message, isinstance(claim.entry, InterchangeEntry)))
            if decoded != intake.state:  # the next message is decoded with the state that this one leaves
                return await self._append(intake, messages, state, decoded, claims)
        return await self._append(intake, messages, state, None, claims)

    async def record(self, name: str, messages: Sequence[Message]) -> Sequence[Outcome]:
        """``submit`` for events that are decoded and validated already; completes their envelopes."""
        intake = self._intakes[name]
        now = self._clock()
        completed = []
        for message in messages:
            events: list[Event] = []
            invalid = list(message.invalid)
            for event in message.events:
                self._accept(intake, message.raw, event, now, events, invalid)
            completed.append(structs.replace(message, events=events, invalid=invalid))
        return await self._append(intake, completed, None, None)

    async def _append(
        self,
        intake: Intake,
        messages: Sequence[Message],
        state: bytes | None,
        decoded: bytes | None,
        ledger: Sequence[Claim] = (),
    ) -> Sequence[Outcome]:
        states = {} if state is None else {SOURCE: state}
        if decoded is not None:
            states[DECODER] = decoded
        failpoint("ingest.before_commit")
        gaps: list[bool] = []
        outcomes = await self._journal.append(
            IngestBatch(
                adapter=intake.name,
                messages=messages,
                ledger=ledger,
                state=states,
                within=self._within(intake, messages, gaps),
            )
        )
        if decoded is not None:
            intake.state = decoded
        self._observer.ingested(intake.name, messages, outcomes)
        await self._tell(intake, messages, outcomes)
        if any(gaps):
            await self.tell_gaps()
        return outcomes

    async def tell_gaps(self) -> None:
        """Publishes the gaps in sources' numbers of which nobody has been told; their rows are durable."""
        gaps = await self._journal.read(sequences.untold)
        if not gaps:
            return
        for gap in gaps:
            self._log.warning("sequence_gap", source=gap.source, first=gap.first, last=gap.last)

        def within(transaction: Transaction, outcomes: Sequence[Outcome]) -> Sequence[Outcome]:
            sequences.mark_told(transaction, gaps)
            return outcomes

        told = [notice_message(sequences.told(gap)) for gap in gaps]
        await self._journal.append(IngestBatch(adapter="hub", messages=told, within=within), urgent=True)

    def _within(
        self, intake: Intake, messages: Sequence[Message], gaps: list[bool]
    ) -> Callable[[Transaction, Sequence[Outcome]], Sequence[Outcome]]:
        """What the append's own transaction holds beside the events: dead letters, and sources' numbers."""
        bury = self._bury(intake, messages)
        if not any(event.sequence is not None for message in messages for event in message.events):
            return bury

        def within(transaction: Transaction, outcomes: Sequence[Outcome]) -> Sequence[Outcome]:
            new = [
                event
                for message, outcome in zip(messages, outcomes, strict=True)
                if outcome.status == "accepted"
                for event in message.events
            ]
            gaps.append(sequences.hear(transaction, sequences.numbered(new), self._clock().timestamp()))
            return bury(transaction, outcomes)

        return within

    async def _tell(self, intake: Intake, messages: Sequence[Message], outcomes: Sequence[Outcome]) -> None:
        """Publishes what became a dead letter; the row itself is durable already."""
        if not any(outcome.errors for outcome in outcomes):
            return
        told = [
            notice_message(dead_lettered(letter, None))
            for message, outcome in zip(messages, outcomes, strict=True)
            if (letter := self._letter(intake, message, outcome)) is not None
        ]
        if told:
            await self._journal.append(IngestBatch(adapter="hub", messages=told), urgent=True)

    async def _decode(
        self, intake: Intake, raws: Sequence[RawMessage]
    ) -> tuple[bytes | None, list[Message], list[Claim]]:
        if sum(len(raw.body) for raw in raws) > _DECODE_OFF_LOOP_BYTES:
            return await asyncio.to_thread(self._decoded, intake, raws)
        return self._decoded(intake, raws)

    def _decoded(
        self, intake: Intake, raws: Sequence[RawMessage]
    ) -> tuple[bytes | None, list[Message], list[Claim]]:
        state, messages, now = intake.state, [], self._clock()
        claims: list[Claim] = []
        for at in range(0, len(raws), _AT_ONCE):
            part = raws[at : at + _AT_ONCE]
            if (alike := self._alike(intake, part)) is not None:
                messages += alike
            else:
                state = self._each(intake, part, state, now, messages, claims)
        return state, messages, claims

    def _alike(self, intake: Intake, raws: Sequence[RawMessage]) -> list[Message] | None:
        """The messages with the one event of each, where the decoder can say at once that there is one."""
        decode_all = _bulk_of(intake.decoder)
        if len(raws) < _MANY or decode_all is None:
            return None
        try:
            events = decode_all(raws)
        except Exception as error:  # noqa: BLE001 - each is asked for, and the fault is told where it lies
            self._log.error("decoder_raised", adapter=intake.name, error=repr(error))
            return None
        if events is None:
            return None
        return [Message(raw=raw, events=(event,)) for raw, event in zip(raws, events, strict=True)]

    def _each(
        self,
        intake: Intake,
        raws: Sequence[RawMessage],
        state: bytes | None,
        now: datetime,
        messages: list[Message],
        claims: list[Claim],
    ) -> bytes | None:
        """Adds the messages, decoded one by one, and what the ledger is asked for; returns the new state."""
        decode = _decode_of(intake.decoder)
        for raw in raws:
            events: list[Event] = []
            invalid: list[Invalid] = []
            entries: list[tuple[InterchangeEntry, int, int]] | None = None
            try:
                state, items = decode(state, raw)
                if isinstance(items, tuple) and _complete(intake, raw, items):
                    messages.append(Message(raw=raw, events=items))
                    continue
                for item in items:
                    if isinstance(item, Event):
                        self._accept(intake, raw, item, now, events, invalid)
                    elif isinstance(item, Invalid):
                        invalid.append(item)
                    else:
                        entries = [] if entries is None else entries
                        entries.append((item, len(events), len(invalid)))
            except Exception as error:  # noqa: BLE001 - a decoder's own fault must not stop the adapter
                self._log.error("decoder_raised", adapter=intake.name, error=repr(error))
                invalid.append(Invalid(f"the decoder failed: {error!r}", code="decoder_raised"))
            if entries:
                claims += self._claims(intake, raw, len(messages), entries, len(events))
            messages.append(Message(raw=raw, events=events, invalid=invalid))
        return state

    def _claims(
        self,
        intake: Intake,
        raw: RawMessage,
        index: int,
        entries: Sequence[tuple[InterchangeEntry, int, int]],
        end: int,
    ) -> Iterator[Claim]:
        """What the ledger is asked for a message; each interchange goes on until the next begins."""
        for at, (entry, first, fault) in enumerate(entries):
            last = entries[at + 1][1] if at + 1 < len(entries) else end

            def repeated(earlier: Earlier, entry: InterchangeEntry = entry) -> Event:
                return _completed(intake, raw, entry.repeated(earlier))

            yield Claim(message=index, entry=entry, first=first, last=last, fault=fault, repeated=repeated)

    @staticmethod
    def _accept(
        intake: Intake,
        raw: RawMessage,
        event: Event,
        now: datetime,
        events: list[Event],
        invalid: list[Invalid],
    ) -> None:
        """Completes the envelope."""
        try:
            completed = _completed(intake, raw, event)
        except (LookupError, ValueError) as error:
            invalid.append(Invalid(str(error), code="envelope", errors=[("/type", str(error))]))
            return
        events.append(completed)

    def _bury(
        self, intake: Intake, messages: Sequence[Message]
    ) -> Callable[[Transaction, Sequence[Outcome]], Sequence[Outcome]]:
        """Dead letters for what is invalid or in conflict, in the append's transaction."""

        def within(transaction: Transaction, outcomes: Sequence[Outcome]) -> Sequence[Outcome]:
            if not any(outcome.errors for outcome in outcomes):
                return outcomes
            result = []
            for message, outcome in zip(messages, outcomes, strict=True):
                letter = self._letter(intake, message, outcome)
                if letter is not None:
                    outcome = structs.replace(outcome, dead_letter=dead_letters.add(transaction, letter))
                result.append(outcome)
            return result

        return within

    def _letter(self, intake: Intake, message: Message, outcome: Outcome) -> DeadLetter | None:
        if not outcome.errors:
            return None
        raw, now = message.raw, self._clock().timestamp()
        fault = next((one for one in message.invalid if _told(one, outcome)), None)
        event = message.events[0] if message.events else None
        return DeadLetter(
            kind="message",
            stage=Stage.RECEIVING.value,
            code=fault.code if fault else "conflict",
            error=fault.message if fault else outcome.errors[0][1],
            errors=outcome.errors,
            adapter=raw.adapter,
            plant=intake.plant or (event.plantid if event else None) or "",
            type=event.type if event else "",
            message_id=raw.id,
            body=raw.body,
            content_type=raw.content_type,
            attributes=raw.attributes,
            first_at=now,
            last_at=now,
        )


def _told(fault: Invalid, outcome: Outcome) -> bool:
    """Whether the outcome has it; what belongs to a repeated interchange it has not."""
    return (fault.errors[0] if fault.errors else ("", fault.message)) in outcome.errors


def _decode_of(
    decoder: Decoder | LedgerDecoder,
) -> Callable[[bytes | None, RawMessage], tuple[bytes | None, Iterable[Event | Invalid | InterchangeEntry]]]:
    entries: Any = getattr(decoder, "decode_entries", None)
    return entries or decoder.decode


def _bulk_of(
    decoder: Decoder | BulkDecoder,
) -> Callable[[Sequence[RawMessage]], list[Event] | None] | None:
    return getattr(decoder, "decode_all", None)


def _completed(intake: Intake, raw: RawMessage, event: Event) -> Event:
    """The event with everything that its envelope lacks. Raises LookupError, ValueError."""
    if _complete(intake, raw, (event,)):
        return event
    kind = catalogue.get(event.type)
    plant = event.plantid or intake.plant
    fields: dict[str, Any] = {"recordedtime": raw.received_at}
    if event.time is None:
        fields["time"] = raw.received_at
    if event.domain is None:
        fields["domain"] = kind.domain
    if event.plantid is None and plant:
        fields["plantid"] = plant
    if event.srcmsgid != raw.id:
        fields["srcmsgid"] = raw.id
    if event.subject is None:
        fields["subject"] = catalogue.default_subject(event.type, event.data)
    if event.partitionkey is None:
        subject = event.subject or fields.get("subject")
        fields["partitionkey"] = catalogue.partition_key(event.type, event.data, plant, subject)
    return structs.replace(event, **fields)


def _complete(intake: Intake, raw: RawMessage, items: Iterable[object]) -> bool:
    """Whether they are events that the decoder left nothing to do for; they have this message's own time."""
    for event in items:
        if not (
            isinstance(event, Event)
            and event.recordedtime is raw.received_at
            and event.partitionkey is not None
            and event.subject is not None
            and event.time is not None
            and event.domain is not None
            and (event.plantid is not None or not intake.plant)
            and event.srcmsgid == raw.id
            and event.type in _TYPES
        ):
            return False
    return True
