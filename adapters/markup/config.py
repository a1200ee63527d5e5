"""The options of the format xml."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from adapters.markup.names import check_prefixes, in_scope, is_encoding, is_name
from adapters.markup.path import parse_path
from canonical.duration import Size
from canonical.jsontext import MAX_BYTES, MAX_DEPTH
from canonical.rules import EventRule

__all__ = ["XmlOptions"]


def _check_encoding(name: str) -> str:
    if not is_encoding(name):
        raise ValueError(f"{name!r} is no encoding of XML, as are utf-8, utf-16, iso-8859-1 and cp1250")
    return name


def _check_path(path: str) -> str:
    parse_path(path)
    return path


def _check_name(name: str) -> str:
    if not is_name(name):
        raise ValueError(f"{name!r} is no name of an element")
    return name


Name = Annotated[str, AfterValidator(_check_name)]


class XmlOptions(BaseModel):
    """Options of the format xml."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    events: list[EventRule] = Field(
        default_factory=list, description="Which events a record gives; needed to read, unused to write."
    )
    records: Annotated[str, AfterValidator(_check_path)] = Field(
        ".",
        description="The elements that are records: `.` the root, `Order` its children, `Body/*/Order`, "
        "`.//Order` at any depth, `/Orders/Order` from the root's own name.",
    )
    no_records: Literal["refuse", "ignore"] = Field(
        "refuse", description="What a document without any record is: invalid, or just empty."
    )
    namespaces: dict[str, str] = Field(
        default_factory=dict,
        description="Namespaces by prefix; '' is the one of names without a prefix. Without any, reading "
        "ignores namespaces; else names of others are written {uri}name.",
    )
    lists: list[str] = Field(
        default_factory=list, description="Elements that are lists even where there is only one."
    )
    trim: bool = Field(True, description="Blanks and line breaks around text do not count.")
    encoding: Annotated[str, AfterValidator(_check_encoding)] | None = Field(
        None,
        description="What the declaration says is overruled by this, for senders that say it wrongly; "
        "also what is written, else UTF-8.",
    )
    doctype: Literal["refuse", "skip"] = Field(
        "refuse",
        description="skip: a document may name a DTD, as cXML does; it is never fetched, and one with "
        "declarations inside is refused all the same.",
    )
    max_size: Size = Field(MAX_BYTES, gt=0, description="The largest body that is read.")
    max_depth: int = Field(MAX_DEPTH, ge=1, le=200, description="Levels of elements at most.")
    max_attributes: int = Field(256, ge=1, le=10_000, description="Attributes of an element at most.")
    max_elements: int = Field(200_000, ge=1, description="Elements and attributes of one record at most.")
    max_faults: int = Field(
        1_000, ge=1, description="Invalid records that are told one by one; those after them are counted."
    )
    root: Name | None = Field(None, description="The root element, when written; needed to write.")
    item: Name | None = Field(None, description="The element of each entry of a payload that is a list.")

    @model_validator(mode="after")
    def _names(self) -> Self:
        check_prefixes(self.namespaces)
        for name in (self.root, self.item):
            if name and not in_scope(name, self.namespaces):
                raise ValueError(f"the prefix of {name!r} is none of `namespaces`")
        for step in parse_path(self.records).steps:
            if not in_scope(step.name, self.namespaces):
                raise ValueError(f"`records`: the prefix of {step.name!r} is none of `namespaces`")
        return self
