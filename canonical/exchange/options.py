"""What an operator writes about files: when they are ready, where they go, how ours are named."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from canonical.duration import Duration, Size

__all__ = ["DoneFile", "FileTarget", "PickUp", "Ready", "Renamed", "Stable"]

IGNORED = (".*", "*.part", "*.partial", "*.filepart", "*.tmp", "*.temp", "*.crdownload", "*~")
Pattern = Annotated[str, Field(min_length=1, pattern=r"^[^/\x00-\x1f]+$")]


class _Options(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Stable(_Options):
    """Ready when size and time of change stay the same."""

    kind: Literal["stable"] = Field(
        "stable", description="Ready when size and time of change stay the same; for senders that just write."
    )
    checks: int = Field(2, ge=1, le=100, description="How often in a row they have to be found unchanged.")
    interval: Annotated[Duration, Field(ge=0.05)] = Field(
        1.0, description="Shortest time between two of these checks; longer than any pause of the sender."
    )


class DoneFile(_Options):
    """Ready when a second file says so."""

    kind: Literal["done_file"] = Field(description="Ready when a second file is there; it is removed after.")
    name: str = Field(
        "{name}.done",
        description="Its name: `{name}` stands for the file's, `{stem}` for that without the extension.",
        examples=["{name}.done", "{stem}.ok"],
    )

    @field_validator("name")
    @classmethod
    def _names_the_file(cls, name: str) -> str:
        parts = name.replace("{stem}", "{name}").split("{name}")
        if len(parts) != 2 or not "".join(parts) or "/" in name:
            raise ValueError("write {name} or {stem} once, and something around it: {name}.done")
        return name


class Renamed(_Options):
    """Ready as soon as the name fits."""

    kind: Literal["renamed"] = Field(
        description="Ready at once: the sender writes under a name that `match` does not take, or `ignore` "
        "does, and renames at the end."
    )


Ready = Annotated[Stable | DoneFile | Renamed, Field(discriminator="kind")]


class PickUp(_Options):
    """How files are taken in."""

    match: tuple[Pattern, ...] = Field(
        ("*",), min_length=1, description="Names to take, with `*`, `?` and `[…]`; upper case is not lower."
    )
    ignore: tuple[Pattern, ...] = Field(
        IGNORED, description="Names that are left alone although they match: those of unfinished files."
    )
    ready: Ready = Field(
        default=Stable(), description="How a file shows that its sender is done. Agree on it with the sender."
    )
    min_age: Duration | None = Field(
        None,
        description="How long a file must have been seen unchanged. At least 1s with SFTP, whose times are "
        "whole seconds.",
    )
    empty: Literal["wait", "take", "refuse"] = Field(
        "wait",
        description="Files without a byte: `wait` for content, `take` them as a message, or `refuse`.",
    )
    order: Literal["name", "mtime"] = Field("name", description="Oldest first by name or by time of change.")
    limit: int = Field(
        100, ge=1, le=10_000, description="Files per round, after sorting; the rest follows in the next."
    )
    every: Annotated[Duration, Field(ge=0.05)] = Field(
        30.0, description="From one look into the folder to the next, where nothing tells us earlier."
    )
    max_size: Annotated[Size, Field(gt=0, le=1_000_000_000)] = Field(
        64_000_000, description="Larger files are refused, into `error`."
    )
    archive: str = Field(
        "archive", min_length=1, description="Where files go once they are safe with us; made if missing."
    )
    error: str = Field(
        "error",
        min_length=1,
        description="Where refused files go, each with a `.reason.txt`.",
    )
    delete: bool = Field(False, description="Remove files that are safe with us instead of archiving them.")

    @model_validator(mode="after")
    def _apart(self) -> Self:
        for folder in (self.archive, self.error):
            if ".." in folder.split("/") or not folder.strip("./"):
                raise ValueError(f"{folder!r} is no folder beside or below the one that is picked up from")
        if self.archive == self.error:
            raise ValueError("archive and error are the same folder: nobody could tell what was refused")
        return self


class FileTarget(_Options):
    """How a route's deliveries become files. Text is a template over the event."""

    name: str = Field(
        min_length=1,
        description="The file's name, without folders; values of the message that do not fit are refused.",
        examples=["{data.asn}.edi"],
    )
    folder: str = Field("", description="A folder below the adapter's; it must be there.")
    exists: Literal["suffix", "reject", "replace"] = Field(
        "suffix",
        description="When a file of this name with other content is there: give ours a `suffix`, `reject` "
        "the delivery, or `replace` the file. The same content counts as delivered.",
    )
