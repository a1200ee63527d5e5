"""The options of the formats edifact and x12: what is agreed with a partner."""

from __future__ import annotations

from typing import Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, field_validator

from adapters.edi.edifact.charset import Charset
from canonical.duration import Duration, Size

__all__ = ["EdiOptions", "EdifactOptions", "Party", "Tolerable", "X12Options"]

Tolerable = Literal[
    "charset",
    "data_outside",
    "group_count",
    "group_reference",
    "interchange_count",
    "interchange_reference",
    "line_break",
    "message_reference",
    "message_reference_repeated",
    "segment_count",
    "segment_outside",
]
"""Errors that an agreement may make warnings. What hides a truncated file is never among them."""

_LARGEST = 32_000_000


class _Options(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Party(_Options):
    """An id under which a partner, or we, are known in interchanges."""

    id: str = Field(min_length=1, max_length=35, description="The id, such as a GLN.")
    qualifier: str = Field(
        "", max_length=4, description='What kind of id it is: EDIFACT 0007, X12 I05 ("14" is GS1).'
    )


class EdiOptions(_Options):
    """What both formats have."""

    mode: Literal["live", "test"] = Field(
        "live", description="test: every interchange counts as a test, whatever its test indicator says."
    )
    ignore: list[str] = Field(
        [],
        description="Message types that are read and give no event, such as CONTRL or 997; any other type "
        "without a mapping makes its interchange invalid.",
    )
    tolerate: list[Tolerable] = Field(
        [], description="Codes of errors that count as warnings with this partner."
    )
    currency: str | None = Field(
        None,
        pattern="^[A-Z]{3}$",
        description="Currency of prices in messages that name none; without it such prices are left out.",
    )
    supplier: str | None = Field(
        None,
        min_length=1,
        description="Supplier of messages that name none; default: the receiver of an order, the sender of "
        "a despatch advice.",
    )
    ship_to: str | None = Field(
        None, min_length=1, description="Place of delivery of despatch advices that name none."
    )
    transit: Duration = Field(
        0,
        ge=0,
        description="From despatch to arrival, for despatch advices that announce no arrival.",
    )
    acknowledgement_due: Duration | None = Field(
        None,
        gt=0,
        description="Writing: how long after a document is delivered its functional acknowledgement (CONTRL, "
        "997) must have come; then it is an exception. Default: none is waited for.",
    )
    sender: Party | None = Field(None, description="Writing: our id, unless the payload has it.")
    receiver: Party | None = Field(None, description="Writing: the partner's id, unless the payload has it.")
    max_size: Size = Field(_LARGEST, gt=0, description="The largest file that is read.")


class EdifactOptions(EdiOptions):
    """Options of the format edifact."""

    acknowledge: Literal["contrl", "none"] = Field(
        "contrl",
        description="How interchanges are answered: by CONTRL, where a route sends their events back; none: "
        "such a route sends nothing.",
    )
    charset: Charset | None = Field(
        None,
        description="Character set, whatever UNB says; default: what UNB says, or UTF-8 where it is that "
        "(reading), UNOC (writing).",
    )
    structure: Literal["lenient", "strict", "off"] = Field(
        "lenient",
        description="Whether segments out of place by the UN directory are warnings, errors, or no matter.",
    )


class X12Options(EdiOptions):
    """Options of the format x12."""

    acknowledge: Literal["997", "none"] = Field(
        "997",
        description="How interchanges are answered: by 997, or TA1 where the interchange itself is at fault, "
        "where a route sends their events back; none: such a route sends nothing.",
    )
    charset: Literal["utf-8", "iso-8859-1"] | None = Field(
        None,
        description="How text is encoded; default: UTF-8 where it is that, else ISO 8859-1 (reading), "
        "UTF-8 (writing).",
    )
    group_sender: str | None = Field(
        None, min_length=2, max_length=15, description="Writing: GS02; default: the sender's id."
    )
    group_receiver: str | None = Field(
        None, min_length=2, max_length=15, description="Writing: GS03; default: the receiver's id."
    )

    @field_validator("sender", "receiver")
    @classmethod
    def _fits(cls, party: Party | None) -> Party | None:
        if party and (len(party.id) > 15 or len(party.qualifier) > 2):
            raise ValueError("an id has 15 characters at most in X12, its qualifier 2")
        return party


assert "interchange_trailer_missing" not in get_args(Tolerable)
