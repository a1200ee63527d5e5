"""What goes out: the envelope of a document, as its payload and the options say.

Control references are the hub's to allocate, unless the payload has one: in the transaction that writes the
document down, so that they grow without a gap and a second attempt sends the same bytes.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final, NoReturn

from msgspec import Struct

from adapters.edi.config import EdiOptions, Party
from adapters.edi.interchange import Standard
from canonical import catalogue
from canonical.attributes import timestamp
from canonical.errors import Invalid
from canonical.ledger import Control

__all__ = [
    "ENVELOPE",
    "Envelope",
    "checked_order",
    "control_of",
    "day_of",
    "gtin_digits",
    "numbered",
    "parties",
    "refuse",
]

ENVELOPE: Final = "interchange"
"""The member of a payload that says what its envelope needs."""

_HIGHEST: Final[Mapping[Standard, int]] = {"edifact": 10**14 - 1, "x12": 10**9 - 1}
"""The largest control reference: 14 characters (0020), 9 digits (I12)."""
_ORDER: Final = "procurement.order.issued"
_BESIDE: Final = (ENVELOPE, "buyer", "issued_at")
"""What an order's payload may have beside the data of its event."""


def refuse(where: str, detail: str) -> NoReturn:
    """Raises Invalid for a payload: where in it (RFC 6901 pointer), and what is wrong there."""
    raise Invalid(f"the payload has no form: {where} {detail}", code="no_form", errors=[(where, detail)])


class Envelope(Struct, frozen=True, kw_only=True):
    """What the head of an outgoing interchange says. ``prepared_at`` is written as it is, in its own zone."""

    sender: Party
    receiver: Party
    reference: str
    prepared_at: datetime
    test: bool

    @classmethod
    def read(
        cls, payload: Any, options: EdiOptions, *, answering: Mapping[str, Any] | None = None
    ) -> Envelope:
        """The envelope that a payload asks for in ``interchange``; what it leaves out the options say.

        An answer goes back to where the interchange came from, and has its reference unless told another.
        """
        told, back = _told(payload), answering or {}
        reference = told.get("reference") or back.get("reference")
        if not reference:
            text = "is missing: the control reference is for the caller to allocate"
            refuse(f"/{ENVELOPE}/reference", text)
        sender, receiver = parties(told, options, back)
        return cls(
            sender=sender,
            receiver=receiver,
            reference=str(reference),
            prepared_at=_prepared(told.get("prepared_at")),
            test=bool(told.get("test") or back.get("test") or options.mode == "test"),
        )


def control_of(payload: Any, options: EdiOptions, standard: Standard) -> Control:
    """What an order or an answer is numbered by. Raises Invalid when that is not told."""
    told = _told(payload)
    answers = "outcome" in payload
    sender, receiver = parties(told, options, payload if answers else {})
    return Control(
        standard=standard,
        sender=sender.id,
        receiver=receiver.id,
        highest=_HIGHEST[standard],
        reference=str(told.get("reference") or ""),
        answer_due_s=None if answers else options.acknowledgement_due,
    )


def numbered(payload: Any, reference: str, prepared_at: datetime) -> dict[str, Any]:
    """The payload with a reference and a time in its envelope; a time that it has stays."""
    told = _told(payload)
    return {**payload, ENVELOPE: {"prepared_at": prepared_at, **told, "reference": reference}}


def parties(told: Mapping[str, Any], options: EdiOptions, back: Mapping[str, Any]) -> tuple[Party, Party]:
    """Sender and receiver: as the payload says, or the options; an answer goes back. Raises Invalid."""
    return (
        _party(told, "sender", options.sender or _id(back, "receiver")),
        _party(told, "receiver", options.receiver or _id(back, "sender")),
    )


def _told(payload: Any) -> Mapping[str, Any]:
    if not isinstance(payload, Mapping):
        refuse("", "must be an object")
    told = payload.get(ENVELOPE) or {}
    if not isinstance(told, Mapping):
        refuse(f"/{ENVELOPE}", "must be an object with reference, and sender, receiver, prepared_at, test")
    return told


def _id(data: Mapping[str, Any], name: str) -> Party | None:
    found = data.get(name)
    return Party(id=found, qualifier=data.get(f"{name}_qualifier") or "") if found else None


def _party(told: Mapping[str, Any], name: str, otherwise: Party | None) -> Party:
    value = told.get(name)
    if value is None and otherwise is not None:
        return otherwise
    if isinstance(value, str) and value:
        return Party(id=value)
    if isinstance(value, Mapping) and value.get("id"):
        return Party(id=str(value["id"]), qualifier=str(value.get("qualifier") or ""))
    refuse(f"/{ENVELOPE}/{name}", f"is missing; the options of the format may have `{name}`")


def _prepared(value: Any) -> datetime:
    if value is None:
        return datetime.now(UTC)
    if isinstance(value, datetime):
        return value
    try:
        return timestamp(value)
    except ValueError as error:
        refuse(f"/{ENVELOPE}/prepared_at", str(error))


def checked_order(payload: Mapping[str, Any]) -> Mapping[str, Any]:
    """The order's data, which the catalogue has checked. Raises Invalid with every fault."""
    data = {name: value for name, value in payload.items() if name not in _BESIDE and value is not None}
    found = catalogue.validate(_ORDER, data)
    if found:
        errors = [(fault.pointer.removeprefix("/data"), fault.detail) for fault in found]
        text = "; ".join(f"{where} {detail}" for where, detail in errors[:5])
        raise Invalid(f"the payload is no order: {text}", code="no_form", errors=errors)
    for at, line in enumerate(data["lines"]):
        if line.get("action"):
            refuse(f"/lines/{at}/action", "changes an order, which only a change order can say")
    return data


def day_of(payload: Mapping[str, Any], envelope: Envelope) -> str:
    """The day of the document, eight digits: ``issued_at`` of the payload, else that of its envelope."""
    told = str(payload.get("issued_at") or envelope.prepared_at.date().isoformat())[:10].replace("-", "")
    if len(told) != 8 or not told.isdigit():
        refuse("/issued_at", "must be a date or a time as of RFC 3339")
    return told


def gtin_digits(gtin: str) -> str:
    """A GTIN of 14 digits as short as it was given: 12 (UPC), 13 (EAN) or 14 digits."""
    return gtin[2:] if gtin.startswith("00") else gtin.removeprefix("0")
