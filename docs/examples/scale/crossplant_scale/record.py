"""What a record means. Pure: the same bytes give the same event, whenever they are read."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation

from canonical import catalogue
from canonical.admission import admitted
from canonical.errors import Invalid
from canonical.event import Event
from canonical.ports import RawMessage
from canonical.spec import FormatContext
from crossplant_scale.config import RecordOptions

__all__ = ["RecordDecoder"]

UNITS = {"kg": "KGM", "g": "GRM", "t": "TNE"}
TYPE = catalogue.get("telemetry.measurement.recorded")


class RecordDecoder:
    """``number;time;weight;unit`` to an event. Implements ``canonical.ports.Decoder``."""

    def __init__(self, options: RecordOptions, context: FormatContext) -> None:
        self._options, self._context = options, context

    def decode(self, state: bytes | None, raw: RawMessage) -> tuple[bytes | None, Iterable[Event | Invalid]]:
        """One event, or what is wrong with the record; never an exception, whatever the bytes are."""
        try:
            return state, [self._event(raw)]
        except Invalid as error:
            return state, [error]

    def _event(self, raw: RawMessage) -> Event:
        number, moment, weight, unit = _cells(raw.body)
        weighed_at = _time(moment, self._context)
        data = {
            "tag": self._options.tag,
            "value": float(_number(weight)),
            "uom": UNITS.get(unit, unit),
            "quality": "good",
            "source_time": weighed_at.isoformat(),
        }
        event = Event(
            id=number,
            source=self._context.source,
            type=TYPE.name,
            subject=self._options.equipment,
            time=weighed_at,
            plantid=self._context.plant,
            data=data,
        )
        return admitted(event, plant=self._context.plant)  # the catalogue has the last word


def _cells(body: bytes) -> list[str]:
    try:
        cells = body.decode("ascii").split(";")
    except UnicodeDecodeError as error:
        raise Invalid("the record is not ASCII", errors=[("/", str(error))]) from error
    if len(cells) != 4:
        raise Invalid("the record has not four cells", errors=[("/", f"it has {len(cells)}")])
    return cells


def _time(text: str, context: FormatContext) -> datetime:
    """The terminal's clock shows local time; events have UTC."""
    try:
        return datetime.strptime(text, "%Y%m%d%H%M%S").replace(tzinfo=context.timezone).astimezone(UTC)
    except ValueError as error:
        raise Invalid("the second cell is no time", errors=[("/1", str(error))]) from error


def _number(text: str) -> Decimal:
    try:
        number = Decimal(text)
    except InvalidOperation as error:
        raise Invalid("the third cell is no number", errors=[("/2", f"{text!r}")]) from error
    if not number.is_finite():
        raise Invalid("the third cell is no number", errors=[("/2", f"{text!r}")])
    return number
