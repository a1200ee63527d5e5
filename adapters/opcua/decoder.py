"""Raw messages of this adapter → canonical events. Pure; its state is the last state of each state tag."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from hashlib import blake2b
from typing import Any

import msgspec

from adapters.opcua.config import OpcuaConfig, Tag
from adapters.opcua.measuring import MEASUREMENT, NO_UNIT, Measuring, Seen
from adapters.opcua.quality import finite_value, quality
from adapters.opcua.reading import UNREADABLE, Note, Reading, Table, decode_kept, reading_of
from canonical.catalogue import full_name, partition_key
from canonical.errors import Invalid
from canonical.event import Event
from canonical.ports import RawMessage
from canonical.spec import AdapterContext

__all__ = ["OpcuaDecoder"]

SOURCE = "telemetry.source.changed"
STATE = "equipment.state.changed"
_TYPES = {suffix: (full_name(suffix), suffix.partition(".")[0]) for suffix in (MEASUREMENT, SOURCE, STATE)}

States = dict[str, tuple[str, str]]
"""Equipment and tag → (state, since), both as in the last event."""

_states = msgspec.json.Decoder(States)
_json = msgspec.json.Encoder()


class _Told:
    """What a message has told so far."""

    def __init__(self, state: bytes | None) -> None:
        self._state = state
        self._states: States | None = None
        self.found: list[Event | Invalid] = []
        self.seen: Seen = {}

    def entered(self) -> States:
        """The states last known, to be changed."""
        if self._states is None:
            self._states = _read_states(self._state)
        return self._states

    @property
    def state(self) -> bytes | None:
        """The decoder's state after this message."""
        return self._state if self._states is None else _json.encode(self._states)


class OpcuaDecoder:
    """``telemetry.measurement.recorded`` per value, ``equipment.state.changed`` for tags with `states`,
    ``telemetry.source.changed`` for notes about the source.

    ``time`` is the source's time. Where the server sent none, the extension ``timesource`` says what it
    is instead: ``server`` or ``received``. The same value, time and status make the same event id, so
    that what a server sends again is a duplicate.
    """

    def __init__(self, settings: OpcuaConfig, context: AdapterContext) -> None:
        self._source, self._plant = context.source, context.plant
        self._tags = {(settings.equipment_of(tag), tag.tag): tag for tag in settings.tags}
        self._keys: dict[str, str] = {}
        self._measuring = Measuring(self._tags, self._source, self._plant, self._key)

    def decode(self, state: bytes | None, raw: RawMessage) -> tuple[bytes | None, Iterable[Event | Invalid]]:
        """One event per value or equipment, faults in their places. Never raises."""
        if raw.content_type == UNREADABLE:
            why = str(raw.attributes.get("fault", "it cannot be parsed"))
            return state, [_invalid(f"notification {raw.id}: {why}", code="unreadable")]
        try:
            body = decode_kept(raw.body)
            if isinstance(body, Note):
                return state, [self._changed(raw, body, path) for path in body.equipment]
            told = _Told(state)
            if isinstance(body, Table):
                self._rows(told, raw, body)
            else:
                for reading in body.values:
                    self._reading(told, raw, reading)
            return told.state, told.found
        except (msgspec.DecodeError, RecursionError, ValueError, TypeError, OverflowError) as error:
            return state, [_invalid(f"message {raw.id} is not one of ours: {error}", code="unreadable")]

    def _reading(self, told: _Told, raw: RawMessage, reading: Reading) -> None:
        """What a reading tells."""
        tag = self._tags.get((reading.equipment, reading.tag))
        if tag is None or tag.states is None or quality(reading.status) == "bad":
            told.found.append(self._measured(raw, reading, tag, told.seen))
        else:
            told.found.extend(self._entered(raw, reading, tag.states, told.entered(), told.seen))

    def _rows(self, told: _Told, raw: RawMessage, table: Table) -> None:
        """What the readings of a table tell; of plain ones the short way."""
        seen, measures = told.seen, self._measuring.of(table.named())
        for measure, row in zip(measures, table.rows(), strict=True):
            event = measure(raw, row, seen)
            if event is not None:
                told.found.append(event)
            else:
                self._reading(told, raw, reading_of(row))

    def _measured(self, raw: RawMessage, reading: Reading, tag: Tag | None, seen: Seen) -> Event | Invalid:
        try:
            value, is_finite = finite_value(reading)
        except ValueError as error:
            return _invalid(
                f"tag {reading.tag!r} of {reading.equipment} ({reading.node}): {error}",
                code="unsupported_value",
                tag=reading,
            )
        at, basis = _time(raw, reading)
        data: dict[str, Any] = {
            "tag": reading.tag,
            "value": value,
            "uom": (tag.uom if tag else None) or reading.uom or NO_UNIT,
            "quality": quality(reading.status) if is_finite else "bad",
            "source_time": at,
        }
        if reading.status:
            data["status_code"] = reading.status
        return self._event(raw, MEASUREMENT, reading.equipment, data, at, basis, f"{reading.node}|", seen)

    def _entered(
        self,
        raw: RawMessage,
        reading: Reading,
        names: Mapping[str, str],
        states: States,
        seen: Seen,
    ) -> Iterator[Event | Invalid]:
        """The event of a state that is another than the last one; nothing when it is the same."""
        state = names.get(_written(reading.value))
        if state is None:
            yield _invalid(
                f"tag {reading.tag!r} of {reading.equipment}: {reading.value!r} is none of its states; "
                "add it to the tag's `states`",
                code="unmapped_state",
                tag=reading,
            )
            return
        key = f"{reading.equipment}\n{reading.tag}"
        previous = states.get(key)
        if previous is not None and previous[0] == state:
            return
        at, basis = _time(raw, reading)
        states[key] = (state, at)
        data = {
            "state": state,
            "previous": previous[0] if previous else None,
            "entered_at": at,
            "raw_state": reading.value if type(reading.value) in (int, str) else _written(reading.value),
        }
        yield self._event(raw, STATE, reading.equipment, data, at, basis, f"{reading.node}|", seen)

    def _changed(self, raw: RawMessage, note: Note, equipment: str) -> Event:
        data: dict[str, Any] = {"status": note.status, "session": note.session}
        if note.last_seq is not None:
            data["last_seq"] = note.last_seq
        if note.gap is not None:
            data["gap"] = msgspec.to_builtins(note.gap)
        return self._event(raw, SOURCE, equipment, data, note.at, None, f"{raw.id}|", {})

    def _event(
        self,
        raw: RawMessage,
        suffix: str,
        equipment: str,
        data: dict[str, Any],
        at: str,
        basis: str | None,
        origin: str,
        seen: Seen,
    ) -> Event:
        """``origin`` and the data make the id; the same again within one message gets a number."""
        said = f"{origin}{equipment}|".encode() + _json.encode(data)
        event_id = blake2b(said, digest_size=12).hexdigest()
        name, domain = _TYPES[suffix]
        again = seen.get(event_id, 0)
        seen[event_id] = again + 1
        return Event(
            id=f"{event_id}~{again}" if again else event_id,
            source=self._source,
            type=name,
            time=datetime.fromisoformat(at),
            subject=equipment,
            plantid=self._plant,
            domain=domain,
            partitionkey=self._key(equipment),
            recordedtime=raw.received_at,
            srcmsgid=raw.id,
            data=data,
            extensions={"timesource": basis} if basis else {},
        )

    def _key(self, equipment: str) -> str:
        """The partition key; the three types have the same one, the equipment's."""
        found = self._keys.get(equipment)
        if found is None:
            found = self._keys[equipment] = partition_key(MEASUREMENT, {}, self._plant, equipment)
        return found


def _time(raw: RawMessage, reading: Reading) -> tuple[str, str | None]:
    """When the value was so, and whose clock that is when it is not the source's."""
    if reading.source_time is not None:
        return reading.source_time, None
    if reading.server_time is not None:
        return reading.server_time, "server"
    return raw.received_at.isoformat().replace("+00:00", "Z"), "received"


def _written(value: Any) -> str:
    """A raw state as an operator writes it: true, 2, running."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def _read_states(state: bytes | None) -> States:
    """The states last known; none when there are no readable ones."""
    try:
        return _states.decode(state) if state else {}
    except msgspec.DecodeError:
        return {}


def _invalid(message: str, *, code: str, tag: Reading | None = None) -> Invalid:
    context = {"tag": tag.tag, "equipment": tag.equipment, "node": tag.node, "type": tag.type} if tag else {}
    return Invalid(message, code=code, context=context)
