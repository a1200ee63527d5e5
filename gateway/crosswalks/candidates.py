"""What an unknown code may mean: proposals with a score and the reason, the likeliest first. Pure.

Nothing is ever taken over by itself: a steward reads the reason and decides.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from difflib import SequenceMatcher
from typing import Final

from msgspec import Struct

from config.packages import PACKAGE
from router.crosswalk import Row

__all__ = ["Candidate", "Known", "Question", "rank"]

_SAME_GTIN: Final = 0.98
_BESIDE: Final = 0.97
_OTHER_PLANT: Final = 0.95
_OTHER_SYSTEM: Final = 0.85
_SPELLING: Final = 0.9
_ITSELF: Final = 0.8
_NEAR_TEXT: Final = 0.75
_NEAR_CODE: Final = 0.7
_LEAST: Final = 0.6
"""Of likeness (difflib's ratio) below which two texts have nothing to do with each other."""
_SHORTEST: Final = 3
_COMPARED: Final = 20_000
"""Codes that are compared by likeness, at most."""


class Question(Struct, frozen=True, kw_only=True):
    """An unknown code, and what the events that wait for it say of it. ``outward``: it is a canonical code,
    and the system's own is asked for."""

    domain: str
    system: str
    value: str
    outward: bool = False
    waiting: frozenset[int] = frozenset()
    gtins: frozenset[str] = frozenset()
    descriptions: tuple[str, ...] = ()


class Known(Struct, frozen=True, kw_only=True):
    """A canonical code, and by what else it is known: from a change of master data, or seen in an event.

    ``others``: what stood beside it, such as the supplier's own code.
    """

    code: str
    gtin: str = ""
    description: str = ""
    others: tuple[str, ...] = ()
    where: str


class Candidate(Struct, frozen=True, kw_only=True):
    """``code``: what the row's other side may be. ``score``: 0 to 1, for the order only."""

    code: str
    score: float
    reason: str


def rank(question: Question, rows: Sequence[Row], known: Sequence[Known], limit: int = 10) -> list[Candidate]:
    """The best proposal per code. ``rows``: those of the domain that have effect."""
    rows = [row for row in rows if row.domain == question.domain and row.effective]
    if question.domain == PACKAGE:  # what is in a package of another item says nothing of this one
        rows, known = [row for row in rows if row.system == question.system], ()
    best: dict[str, Candidate] = {}
    for found in (*_from_rows(question, rows), *_from_known(question, known), *_alike(question, rows, known)):
        if found.code not in best or best[found.code].score < found.score:
            best[found.code] = found
    return sorted(best.values(), key=lambda each: (-each.score, each.code))[:limit]


def _from_rows(question: Question, rows: Iterable[Row]) -> Iterator[Candidate]:
    """What the same code means elsewhere."""
    for row in rows:
        mine, other = (row.canonical, row.value) if question.outward else (row.value, row.canonical)
        if mine != question.value:
            continue
        where = row.plant or "the enterprise"
        told = f"{mine} is {other} of {row.system} in {where} (row {row.id})"
        if row.system == question.system:
            yield Candidate(code=other, score=_OTHER_PLANT, reason=told)
        else:
            yield Candidate(code=other, score=_OTHER_SYSTEM, reason=told)


def _from_known(question: Question, known: Iterable[Known]) -> Iterator[Candidate]:
    for each in known:
        if question.outward:
            continue
        if each.gtin and each.gtin in question.gtins:
            reason = f"the same GTIN {each.gtin}, {each.where}"
            yield Candidate(code=each.code, score=_SAME_GTIN, reason=reason)
        if question.value in each.others:
            reason = f"{question.value} stands beside {each.code}, {each.where}"
            yield Candidate(code=each.code, score=_BESIDE, reason=reason)
        if each.code == question.value:
            reason = f"{each.code} is a canonical code itself, {each.where}"
            yield Candidate(code=each.code, score=_ITSELF, reason=reason)
        likeness = max((_likeness(text, each.description) for text in question.descriptions), default=0.0)
        if likeness >= _LEAST:
            reason = f"the description is alike, “{each.description}”, {each.where}"
            yield Candidate(code=each.code, score=round(_NEAR_TEXT * likeness, 3), reason=reason)


def _alike(question: Question, rows: Sequence[Row], known: Iterable[Known]) -> Iterator[Candidate]:
    """Codes that are written alike: the canonical ones, and the system's own with what they mean."""
    written: dict[tuple[str, str], str] = {}
    for row in rows:
        mine, other = (row.canonical, row.value) if question.outward else (row.value, row.canonical)
        if row.system == question.system:
            written[mine, other] = (
                f"written much like {mine} of {row.system}, which is {other} (row {row.id})"
            )
        if not question.outward:
            written.setdefault((other, other), f"written much like the canonical {other}")
    for each in known if not question.outward else ():
        written.setdefault((each.code, each.code), f"written much like {each.code}, {each.where}")
    plain = _plain(question.value)
    matcher = SequenceMatcher(autojunk=False)
    matcher.set_seq2(plain)
    for (text, code), reason in list(written.items())[:_COMPARED]:
        other = _plain(text)
        if other and other == plain:
            if text != question.value:
                yield Candidate(code=code, score=_SPELLING, reason=f"{reason}: but for signs and case equal")
            continue
        matcher.set_seq1(other)
        if min(len(other), len(plain)) < _SHORTEST or matcher.real_quick_ratio() < _LEAST:
            continue
        if matcher.quick_ratio() >= _LEAST and (likeness := matcher.ratio()) >= _LEAST:
            yield Candidate(code=code, score=round(_NEAR_CODE * likeness, 3), reason=reason)


def _plain(text: str) -> str:
    """Letters and digits, in capitals."""
    return "".join(sign for sign in text.upper() if sign.isalnum())


def _likeness(one: str, other: str) -> float:
    """Of two descriptions, whatever the order of their words: 0 to 1."""
    mine, its = (" ".join(sorted(text.upper().split())) for text in (one, other))
    return SequenceMatcher(None, mine, its, autojunk=False).ratio() if mine and its else 0.0
