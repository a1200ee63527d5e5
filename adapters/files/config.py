"""What an operator writes for ``kind: files``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, field_validator

from canonical.duration import Duration
from canonical.exchange.options import PickUp

__all__ = ["FilesConfig"]


class FilesConfig(BaseModel):
    """Options of ``kind: files``: a source with a ``format``, and a sink for routes."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    path: Path = Field(
        description="The folder, an absolute path. It must be there; what lies below it is not looked at."
    )
    pick_up: PickUp = Field(default=PickUp(), description="How files are taken in.")
    watch: bool = Field(
        True,
        description="Let the operating system tell of new files, so that they are looked at at once. Network "
        "shares tell nothing: there, only `pick_up.every` counts.",
    )
    timeout: Annotated[Duration, Field(gt=0)] = Field(
        30.0, description="Longest time for one step in the folder; a share whose server is away hangs."
    )
    max_backoff: Annotated[Duration, Field(gt=0)] = Field(
        60.0, description="Longest pause while the folder cannot be used; they start at a second."
    )
    fresh_within: Annotated[Duration, Field(gt=0)] | None = Field(
        None, description="A file should come at least this often. Default: no rhythm is expected."
    )

    @field_validator("path")
    @classmethod
    def _absolute(cls, path: Path) -> Path:
        if not path.is_absolute():
            raise ValueError(f"{str(path)!r} is relative: write the whole path, from / on")
        return path
