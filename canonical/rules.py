"""EventRule: what an operator writes to make events of records, whatever format the records come in."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from canonical.times import check_time_format

__all__ = ["EventRule"]

Cel = Annotated[str, Field(min_length=1, json_schema_extra={"x-language": "cel"})]


class EventRule(BaseModel):
    """One kind of event that records give. Rules are tried in order; the first whose ``when`` holds counts.

    Every text but `type` and `time_format` is a CEL expression over `payload` (the record), `message` (what
    the transport knows of it: topic, headers, `content_type`, `received_at`) and, with `each`, `item`.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    when: Cel | None = Field(None, description="Condition; a rule without one always holds.")
    type: str | None = Field(None, description="Event type of the catalogue: inventory.adjusted.")
    ignore: bool = Field(False, description="Records for which the rule holds give no event.")
    each: Cel | None = Field(None, description="A list: every element gives an event, and is `item`.")
    id: Cel | None = Field(
        None,
        description="The event's id, unique within this adapter and the same when the source repeats itself; "
        "else that of the message, with the number of the record and element where it holds several.",
    )
    time: Cel | None = Field(None, description="When it happened; else when the message was received.")
    time_format: Annotated[str, AfterValidator(check_time_format)] = Field(
        "rfc3339",
        description="How the record writes times, in `time` and in all data that are times: rfc3339, local "
        "(ISO 8601 in the plant's zone), epoch_s, epoch_ms, or a pattern (%d.%m.%Y %H:%M:%S; in the plant's "
        "zone without %z). RFC 3339 is understood beside each of them.",
    )
    subject: Cel | None = Field(None, description="The id of what the event is about; else as the data say.")
    plant: Cel | None = Field(None, description="The plant, for an adapter that belongs to none.")
    correlationid: Cel | None = Field(None, description="What ties the event to others of one process.")
    data: dict[str, Any] = Field(
        default_factory=dict,
        description="Fields of the event's data: a text is CEL, mappings and lists nest; null is left out. "
        "Numbers become decimal text or codes where the catalogue has those.",
    )
