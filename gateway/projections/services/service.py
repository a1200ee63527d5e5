"""The declaration of a normalised service: which events, what they are about, which fields, which filters.

A new service is one more ``Service``; what it cannot say in fields, it says in ``derive``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache
from typing import Any, Literal

from msgspec import Struct

from canonical import catalogue
from canonical.event import Event
from gateway.projections.services.entry import Cells, Entry
from gateway.projections.services.fold import SEPARATOR, Fold

__all__ = ["SEPARATOR", "Each", "Filter", "Part", "Reads", "Service", "fields"]


def fields(*names: str, **renamed: str) -> dict[str, str]:
    """Fields of a service by the path in the data that gives them: the same name, or ``name=path``."""
    return {**{name: name for name in names}, **renamed}


class Part(Struct, frozen=True):
    """One part of an identity: its name in the answer, and where the events say it, first found first taken
    (paths in the data, or ``subject``). ``domain``: the crosswalk domain of its codes. Not ``shown``: only
    tells things apart."""

    name: str
    paths: tuple[str, ...]
    domain: str | None = None
    optional: bool = False
    shown: bool = True


_full_name = cache(catalogue.full_name)  # asked for with every batch


class Reads(Struct, frozen=True):
    """What is taken of a type's events. ``fields``: name in the answer → path in the data; ``fixed``: values
    that the type alone tells; ``keep``: further data that ``derive`` needs."""

    suffix: str
    fields: Mapping[str, str] = {}
    fixed: Mapping[str, Any] = {}
    keep: tuple[str, ...] = ()

    @property
    def type(self) -> str:
        """The CloudEvents type."""
        return _full_name(self.suffix)


class Each(Struct, frozen=True):
    """A list inside a thing, one element per value of the field ``by``: operations, stoppages, alarms."""

    name: str
    by: str
    reads: tuple[Reads, ...]


class Filter(Struct, frozen=True, kw_only=True):
    """A query parameter.

    ``text``: equal. ``code``: equal to the canonical code or to the source's own. ``path``: a code and all
    below it (equipment). ``among``: one of several (lots). ``until``: a time in the column at or before.
    ``flag``: true or false.
    """

    name: str
    kind: Literal["text", "code", "path", "among", "until", "flag", "late"]
    about: str
    column: str = ""
    domain: str = ""
    choices: tuple[str, ...] = ()

    @property
    def of(self) -> str:
        """The column that it looks at."""
        return self.column or self.name


Derive = Callable[[Fold, Cells], Iterable[tuple[str, Cells]]]
"""Completes the cells: (rest of the key, cells) of each thing that the entries make."""


class Service(Struct, frozen=True, kw_only=True):
    """A normalised service.

    ``rule`` tells readers which event wins. ``stamp`` is the default of that order: the position, the
    event's time, or a time in the data; ``stamps`` says otherwise for single types. ``keep`` is how many
    events that decide nothing (any more) are kept, so that a correction can bring them back. ``columns``
    (name → path in the cells) are what filters look at. ``late``: has ``due``, ``open``, ``delayed``.
    """

    name: str
    domain: str
    summary: str
    rule: str
    identity: tuple[Part, ...]
    reads: tuple[Reads, ...]
    each: tuple[Each, ...] = ()
    stamp: str = "position"
    stamps: Mapping[str, str] = {}
    keep: int = 32
    derive: Derive | None = None
    columns: Mapping[str, str] = {}
    filters: tuple[Filter, ...] = ()
    late: bool = False
    families: Callable[[Event], Iterable[tuple[str, dict[str, Any]]]] | None = None
    squash: Callable[[Sequence[Entry]], list[Entry]] | None = None
    computed: Mapping[str, Any] = {}
    example: tuple[tuple[str, Mapping[str, Any]], ...] = ()

    @property
    def table(self) -> str:
        """Its table's name."""
        return self.name.replace("-", "_").replace("/", "_")

    @property
    def types(self) -> dict[str, list[Reads]]:
        """Everything that is read, by CloudEvents type."""
        found: dict[str, list[Reads]] = {}
        for reads in (*self.reads, *(inner for each in self.each for inner in each.reads)):
            found.setdefault(reads.type, []).append(reads)
        return found

    def stamp_of(self, suffix: str) -> str:
        """By what a type's events are ordered."""
        return self.stamps.get(suffix, self.stamp)
