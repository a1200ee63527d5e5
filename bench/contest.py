"""Contestants run in turn, round after round, so that a machine's moods meet all of them alike."""

from __future__ import annotations

import statistics
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Literal

from msgspec import Struct

from bench.measure import Sample

__all__ = ["Arena", "Bench", "Options", "Result", "Run", "held"]

OURS = "ours"
Run = Callable[[], Awaitable[Sample]]


class Options(Struct, frozen=True, kw_only=True):
    """How much is done. ``quick``: a first look, whose figures mean little."""

    rounds: int
    quick: bool = False
    tell: Callable[[str], None] = lambda text: None


class Arena(Struct, frozen=True, kw_only=True):
    """One comparison, its servers running. ``runs`` has ``ours`` and the peers; the ratio is to the first.

    ``gate`` and ``goal``: the ratio that must, and that should be reached. ``note`` names what is not equal
    between the contestants. ``most_rounds``: for what takes minutes.
    """

    name: str
    unit: str
    runs: Mapping[str, Run]
    note: str = ""
    gate: float | None = None
    goal: float | None = None
    better: Literal["higher", "lower"] = "higher"
    most_rounds: int = 1_000


Bench = Callable[[Options], AbstractAsyncContextManager[list[Arena]]]


class Result(Struct, kw_only=True):
    """The medians of one comparison.

    ``spread`` is (largest - smallest) ÷ median of ours; ``ratio`` is ours ÷ the first peer, the median of
    the rounds' ratios, since the two stood side by side in each.
    """

    name: str
    unit: str
    ours: float
    peers: dict[str, float]
    ratio: float | None
    rounds: int
    spread: float
    cpu_s_per_100k: float | None
    rss_mb: float | None
    better: str
    gate: float | None = None
    goal: float | None = None
    ratios: dict[str, float] = {}
    peers_cpu_s_per_100k: dict[str, float] = {}
    peers_rss_mb: dict[str, float] = {}
    more: dict[str, dict[str, float]] = {}
    failures: list[str] = []
    note: str = ""


async def held(arena: Arena, options: Options) -> Result:
    """The result of all rounds. A peer that fails is named, and the others go on; ours must not fail."""
    samples: dict[str, list[Sample | None]] = {name: [] for name in arena.runs}
    failures: list[str] = []
    names = list(arena.runs)
    for at in range(min(options.rounds, arena.most_rounds)):
        turn = at % len(names)
        for name in names[turn:] + names[:turn]:
            sample: Sample | None = None
            try:
                sample = await arena.runs[name]()
                options.tell(f"{arena.name}: {name}: {_shown(sample, arena.unit)}")
            except Exception as error:
                if name == OURS:
                    raise
                failures.append(f"{name}, round {at + 1}: {error}")
                options.tell(f"{arena.name}: {name} failed: {error}")
            samples[name].append(sample)
    return _result(arena, samples, failures)


def _result(arena: Arena, samples: Mapping[str, list[Sample | None]], failures: list[str]) -> Result:
    ours = [sample for sample in samples[OURS] if sample is not None]
    values = [sample.value for sample in ours]
    middle = statistics.median(values)
    peers = {name: found for name, found in samples.items() if name != OURS and any(found)}
    ratios = {name: _ratio(ours, found) for name, found in peers.items()}
    return Result(
        name=arena.name,
        unit=arena.unit,
        ours=_round(middle),
        peers={name: _round(_figure(found, "value") or 0.0) for name, found in peers.items()},
        ratio=next(iter(ratios.values()), None),
        rounds=len(ours),
        spread=_round((max(values) - min(values)) / middle if middle else 0.0),
        cpu_s_per_100k=_figure(ours, "cpu_s_per_100k"),
        rss_mb=_figure(ours, "rss_mb"),
        better=arena.better,
        gate=arena.gate,
        goal=arena.goal,
        ratios=ratios,
        peers_cpu_s_per_100k=_each(peers, "cpu_s_per_100k"),
        peers_rss_mb=_each(peers, "rss_mb"),
        more={name: more for name, found in samples.items() if (more := _more(found))},
        failures=failures,
        note=arena.note,
    )


def _figure(samples: Sequence[Sample | None], field: str) -> float | None:
    """The median of one field over the samples that have it."""
    found = [value for sample in samples if sample and (value := getattr(sample, field)) is not None]
    return _round(statistics.median(found)) if found else None


def _each(peers: Mapping[str, Sequence[Sample | None]], field: str) -> dict[str, float]:
    found = {name: _figure(samples, field) for name, samples in peers.items()}
    return {name: value for name, value in found.items() if value is not None}


def _ratio(ours: Sequence[Sample], peer: Sequence[Sample | None]) -> float:
    """The median of the rounds in which both ran."""
    pairs = [(one.value, other.value) for one, other in zip(ours, peer, strict=True) if other is not None]
    return _round(statistics.median(one / other for one, other in pairs if other))


def _more(samples: Sequence[Sample | None]) -> dict[str, float]:
    found = [sample.more for sample in samples if sample is not None]
    names = found[0] if found else {}
    return {name: _round(statistics.median(more[name] for more in found)) for name in names}


def _round(value: float) -> float:
    """Four significant digits."""
    return float(f"{value:.4g}")


def _shown(sample: Sample, unit: str) -> str:
    parts = [f"{sample.value:,.5g} {unit}"]
    if sample.cpu_s_per_100k is not None:
        parts.append(f"{sample.cpu_s_per_100k:.2f} CPU s/100k")
    if sample.rss_mb is not None:
        parts.append(f"{sample.rss_mb:.0f} MB")
    return ", ".join([*parts, *(f"{name} {value:.4g}" for name, value in sample.more.items())])
