"""From the events about one thing to what it is: pure, and the same for any order of arrival.

The last writer wins per field, in the service's order (``Entry.order``). An event of no plant is about the
thing of that name in whichever plant; an event of one plant never touches another plant's.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from gateway.projections.services.entry import Cell, Cells, Entry, Origin, View

if TYPE_CHECKING:
    from gateway.projections.services.service import Each, Reads, Service

__all__ = ["NO_PLANT", "SEPARATOR", "Fold", "at_path", "compacted", "views"]

NO_PLANT = "-"
SEPARATOR = "\x1f"
"""Parts the values of an identity and of a key; no code has it."""


def at_path(data: Any, path: str) -> Any:
    """The value at ``a.b`` in nested dicts, or None."""
    if "." not in path:
        return data.get(path) if isinstance(data, dict) else None
    for step in path.split("."):
        if not isinstance(data, dict):
            return None
        data = data.get(step)
    return data


class Fold:
    """The entries of one thing, oldest first, and the cells that are made of them."""

    def __init__(self, entries: Sequence[Entry], identity: Sequence[str] = ()) -> None:
        self.entries = sorted(entries, key=lambda entry: entry.order)
        self.identity = identity
        self.origins: dict[int, int] = {}
        self.used: set[int] = set()
        self._kept: list[Origin] = []

    def of(self, type_: str) -> list[Entry]:
        """Those of a CloudEvents type."""
        return [entry for entry in self.entries if entry.type == type_]

    def cell(self, entry: Entry, path: str, value: Any = None) -> Cell:
        """The value of an entry at a path of its data (or ``subject``); ``value``: computed, at that path."""
        if value is None:
            value = entry.subject if path == "subject" else at_path(entry.data, path)
        self.use(entry)
        where = path if path == "subject" else f"data.{path}"
        return Cell(value, self.origins[entry.position], where)

    def use(self, entry: Entry) -> None:
        """Notes that an entry decides something."""
        self.used.add(entry.position)
        if entry.position not in self.origins:
            self.origins[entry.position] = len(self._kept)
            self._kept.append(Origin(entry.position, entry.at, entry.plant, entry.source, entry.type))

    def kept(self) -> tuple[Origin, ...]:
        """The origins that cells refer to."""
        return tuple(self._kept)

    def last(self, reads: Sequence[Reads], entries: Sequence[Entry] | None = None) -> Cells:
        """The last writer's value per field."""
        by_type = {each.type: each for each in reads}
        found: dict[str, tuple[Entry, str, Any]] = {}
        for entry in self.entries if entries is None else entries:
            taken = by_type.get(entry.type)
            if taken is None:
                continue
            for name, value in taken.fixed.items():
                found[name] = (entry, "", value)
            for name, path in taken.fields.items():
                value = at_path(entry.data, path)
                if value is not None:
                    found[name] = (entry, path, value)
        return {name: self._cell(*what) for name, what in found.items()}

    def _cell(self, entry: Entry, path: str, value: Any) -> Cell:
        if path:
            return self.cell(entry, path, value)
        self.use(entry)
        return Cell(value)

    def elements(self, each: Each) -> list[Cells]:
        """A collection: the last writer's values per element, sorted by what tells them apart."""
        types = {reads.type for reads in each.reads}
        groups: dict[str, list[Entry]] = {}
        for entry in self.entries:
            if entry.type in types and (name := at_path(entry.data, each.by)) is not None:
                groups.setdefault(str(name), []).append(entry)
        return [
            {each.by: Cell(name), **self.last(each.reads, entries)}
            for name, entries in sorted(groups.items())
        ]


def views(service: Service, family: str, entries: Sequence[Entry]) -> list[View]:
    """The things that a family's entries make: one per plant that speaks of it, or one of no plant."""
    plants: list[str | None] = sorted({entry.plant for entry in entries if entry.plant is not None}) or [None]  # type: ignore[assignment]
    found: list[View] = []
    for plant in plants:
        mine = [entry for entry in entries if entry.plant is None or entry.plant == plant]
        if mine:
            found += _of_plant(service, family, plant, mine)
    return found


def _of_plant(service: Service, family: str, plant: str | None, entries: Sequence[Entry]) -> Iterator[View]:
    fold = Fold(entries, family.split(SEPARATOR))
    cells: Cells = _identity(service, fold)
    cells |= fold.last(service.reads)
    for each in service.each:
        cells[each.name] = fold.elements(each)
    made = list(service.derive(fold, cells)) if service.derive else [("", cells)]
    decisive = [entry for entry in fold.entries if entry.position in fold.used] or fold.entries
    newest = max(decisive, key=lambda entry: entry.position)
    for rest, finished in made:
        extra = {name: finished.pop(name, None) for name in ("_due", "_open", "_delayed")}
        yield View(
            key=SEPARATOR.join((plant or NO_PLANT, family, rest)),
            plant=plant or NO_PLANT,
            columns=_columns(service, finished) | {name[1:]: _number(value) for name, value in extra.items()},
            cells=finished,
            origins=fold.kept(),
            position=newest.position,
            changed_at=newest.at,
            subject=newest.subject,
            used=frozenset(fold.used),
        )


def _identity(service: Service, fold: Fold) -> Cells:
    """The identity's cells, with the codes of the last event that names them."""
    cells: Cells = {}
    for part, value in zip(service.identity, fold.identity, strict=True):
        cells[part.name] = Cell(value or None)
        if part.domain is None or not value:
            continue
        for entry in reversed(fold.entries):
            path = next((path for path in part.paths if _says(entry, path) == value), None)
            if path is not None:
                cells[part.name] = fold.cell(entry, path, value)
                break
    return cells


def _says(entry: Entry, path: str) -> Any:
    return entry.subject if path == "subject" else at_path(entry.data, path)


def _columns(service: Service, cells: Mapping[str, Any]) -> dict[str, str | float | None]:
    found: dict[str, str | float | None] = {}
    for column, path in service.columns.items():
        name, _, rest = path.partition(".")
        cell = cells.get(name)
        value = cell.value if isinstance(cell, Cell) else None
        value = at_path(value, rest) if rest else value
        found[column] = _column(value)
    return found


def _number(value: float | None) -> float | None:
    return None if value is None else float(value)


def _column(value: Any) -> str | float | None:
    match value:
        case None:
            return None
        case bool():
            return float(value)
        case list():
            return SEPARATOR.join(("", *(str(each) for each in value), ""))
        case _:
            return str(value)


def compacted(service: Service, entries: Sequence[Entry], made: Sequence[View]) -> list[Entry]:
    """The entries without those that decide nothing, by position.

    The last ``keep`` of these stay all the same, and one of every plant, since a plant that spoke of a thing
    has it.
    """
    used = frozenset[int]().union(*(view.used for view in made)) if made else frozenset[int]()
    if service.squash is not None:
        entries = service.squash(entries)
    ordered = sorted(entries, key=lambda entry: entry.order)
    speakers = {entry.plant: entry.position for entry in ordered}
    speakers |= {entry.plant: entry.position for entry in ordered if entry.position in used}
    needed = used.union(speakers.values())
    idle = [entry for entry in ordered if entry.position not in needed]
    kept = {entry.position for entry in idle[len(idle) - min(len(idle), service.keep) :]}
    return sorted(
        (entry for entry in entries if entry.position in needed or entry.position in kept),
        key=lambda entry: entry.position,
    )
