"""What an operator writes for ``kind: scale`` and ``format: {kind: scale-record}``."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from canonical.duration import Duration

__all__ = ["RecordOptions", "ScaleOptions"]


class ScaleOptions(BaseModel):
    """A weighing terminal."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    host: str = Field(min_length=1, description="The terminal's name or address.")
    port: int = Field(8234, ge=1, le=65_535, description="Its port for the host computer.")
    connect_timeout: Annotated[Duration, Field(gt=0)] = Field(
        5.0, description="Longest time for connection and greeting together."
    )
    silence: Annotated[Duration, Field(gt=0)] = Field(
        30.0, description="After so long without a byte the connection is given up and built anew."
    )
    max_backoff: Annotated[Duration, Field(gt=0)] = Field(
        30.0, description="Longest pause between attempts to connect; they start at a quarter of a second."
    )


class RecordOptions(BaseModel):
    """How a weighing becomes an event."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    equipment: str = Field(
        description="The scale's place in the plant.", examples=["acme/aachen/goods-in/scale-1"]
    )
    tag: str = Field("weight", description="The name of the value.")
