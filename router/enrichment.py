"""What a route that enriches asks of the hub's read models, and what it makes of the answers. Pure.

A record is asked for by a document's number, within the event's plant. Its codes are canonical ones; a code
that no crosswalk row knows parks the event, but only where the route reads the field that holds it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal, Protocol

from msgspec import Struct

from canonical.errors import Invalid, Stage, TransientError, Unresolved
from canonical.event import Event
from canonical.expression import Expression, Values
from canonical.ports import Delivery

__all__ = [
    "Bare",
    "Enrichment",
    "Known",
    "NotKnown",
    "Question",
    "ReadModels",
    "Reads",
    "UnknownCode",
    "enriched",
    "of_record",
    "reads",
]

VARIABLE = "enrich"


class Question(Struct, frozen=True):
    """A record of a read model. ``plant`` None: one that belongs to no plant."""

    service: str
    key: str
    plant: str | None


class Known(Struct, frozen=True, kw_only=True):
    """A record: its fields without those that nothing is known of, and the codes without a canonical one.

    ``unresolved``: (field, the missing crosswalk row).
    """

    fields: Mapping[str, Any]
    unresolved: tuple[tuple[str, Unresolved], ...] = ()


class ReadModels(Protocol):
    """The hub's read models, as routes see them."""

    async def find(self, questions: Iterable[Question]) -> Mapping[Question, Known | None]:
        """An answer to each, None for a record that is not there. What was committed before is in it.

        Raises TransientError when that cannot be said in time.
        """
        ...


class NotKnown(TransientError):
    """The read models do not know it yet; the event that tells it may still come."""

    code = "not_known"
    stage = Stage.PROCESSING

    def __init__(self, message: str, question: Question) -> None:
        super().__init__(message)
        self.question = question


class UnknownCode(Unresolved):
    """A code in a record, of the source that spoke of it; it need not be in the event that waits."""

    def __init__(self, name: str, missing: Unresolved) -> None:
        super().__init__(
            domain=missing.domain,
            system=missing.system,
            value=missing.value,
            plant=missing.plant,
            path=f"{VARIABLE}.{name}",
        )


def of_record(error: str) -> bool:
    """Whether what was said of a parked event is about a code in a record."""
    return f"({VARIABLE}." in error


class Bare(Delivery, frozen=True, kw_only=True):
    """A delivery that is to be made once the answers are there; None where nothing is asked."""

    outward: Event
    questions: tuple[Question | None, ...]


class Reads(Struct, frozen=True, kw_only=True):
    """Which fields of a record a route reads: ``needs`` must be there. ``every``: it may read any."""

    fields: frozenset[str] = frozenset()
    needs: frozenset[str] = frozenset()
    every: bool = False


class Enrichment(Struct, frozen=True, kw_only=True):
    """One entry of ``enrich:``. ``missing``: what becomes of an event whose record is not known."""

    name: str
    service: str
    key: Expression
    plant: Expression | None = None
    missing: Literal["retry", "dead_letter", "omit"] = "retry"
    reads: Reads = Reads(every=True)

    def question(self, event: Event, values: Values) -> Question | None:
        """What to ask for an event; None where ``omit`` finds no key. Raises Invalid, ExpressionError."""
        key = _text(self.key.evaluate(values))
        if not key:
            if self.missing == "omit":
                return None
            raise self._wrong(f"{self.key.source} gives no key", "no_key")
        if self.plant is None:
            return Question(self.service, key, event.plantid)
        return Question(self.service, key, _text(self.plant.evaluate(values)) or None)

    def fields(self, question: Question | None, found: Known | None) -> Mapping[str, Any] | None:
        """What expressions see of the record, None where it is left out.

        Raises NotKnown, Invalid when it is missing; Unresolved for a code that the route reads.
        """
        if question is None:
            return None
        lacks = self._lacks(question, found)
        if not lacks:
            return None if found is None else found.fields
        if self.missing == "retry":
            raise NotKnown(f"{VARIABLE}.{self.name}: {lacks} yet", question)
        if self.missing == "dead_letter":
            raise self._wrong(lacks, NotKnown.code)
        return None

    def _lacks(self, question: Question, found: Known | None) -> str:
        """What is not known; empty when all is that the route needs. Raises Unresolved."""
        where = f" of plant {question.plant}" if question.plant else " of no plant"
        if found is None:
            return f"{question.service} knows no {question.key!r}{where}"
        for field, error in found.unresolved:
            if self.reads.every or field in self.reads.fields:
                raise UnknownCode(self.name, error)
        lacking = sorted(self.reads.needs - found.fields.keys())
        told = f"{question.service} does not know {' and '.join(lacking)} of {question.key!r}{where}"
        return told if lacking else ""

    def _wrong(self, told: str, code: str) -> Invalid:
        return Invalid(f"{VARIABLE}.{self.name}: {told}", code=code, stage=Stage.PROCESSING)


def enriched(
    wanted: Sequence[Enrichment],
    questions: Sequence[Question | None],
    known: Mapping[Question, Known | None],
) -> dict[str, Mapping[str, Any]]:
    """``enrich`` as expressions see it: a record by the name of its enrichment. Raises like ``fields``."""
    found: dict[str, Mapping[str, Any]] = {}
    for each, question in zip(wanted, questions, strict=True):
        fields = each.fields(question, None if question is None else known.get(question))
        if fields is not None:
            found[each.name] = fields
    return found


def reads(name: str, expressions: Iterable[Expression]) -> Reads:
    """What the expressions read of the enrichment of this name."""
    each = [_reads(name, expression) for expression in expressions]
    return Reads(
        fields=frozenset(field for one in each for field in one.fields),
        needs=frozenset(field for one in each for field in one.needs),
        every=any(one.every for one in each),
    )


def _reads(name: str, expression: Expression) -> Reads:
    """The same of one. What it tests by ``has()`` may be missing wherever it reads it."""
    tested: dict[str, bool] = {}
    whole = bare = False
    for reference in expression.references:
        variable, *steps = reference.path.replace("[]", ".[]").split(".")
        if variable != VARIABLE or (steps and steps[0] != name):
            continue
        if len(steps) > 1:
            tested[steps[1]] = tested.get(steps[1], False) or reference.optional
        elif reference.optional:
            bare = True
        else:
            whole = True
    return Reads(
        fields=frozenset(tested),
        needs=frozenset(field for field, optional in tested.items() if not optional),
        every=whole or (bare and not tested),
    )


def _text(value: Any) -> str:
    """A key as text; empty for what is none."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return str(value) if isinstance(value, str | int) and not isinstance(value, bool) else ""
