"""The service levels' figures once more, from the journal's file alone: every event, every delivery, no sums.

Shares no code with ``gateway.sla``. Slow, and so simple that one can see that it is right.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec

from router.spans import positions

__all__ = ["Truth", "check", "read"]


@dataclass(frozen=True)
class Fact:
    """One event on one route."""

    plant: str
    domain: str
    recorded_at: float
    happened_at: float


@dataclass(frozen=True)
class Truth:
    """What the file says. Keys are (route, position)."""

    events: dict[int, Fact]
    delivered: dict[tuple[str, int], float]
    failed: dict[tuple[str, int], float]
    lanes: dict[tuple[str, int], str]
    types: dict[int, str]


def read(folder: Path) -> Truth:
    """The data folder's journal. Asserts that nothing was delivered twice."""
    events: dict[int, Fact] = {}
    types: dict[int, str] = {}
    delivered: dict[tuple[str, int], float] = {}
    with closing(sqlite3.connect(f"file:{folder / 'journal.db'}?mode=ro", uri=True)) as file:
        for first, lines in file.execute("SELECT first, events FROM bundles"):
            for index, line in enumerate(bytes(lines).splitlines()):
                event = json.loads(line)
                types[first + index] = event["type"]
                events[first + index] = Fact(
                    plant=event.get("plantid") or "-",
                    domain=event.get("domain") or "-",
                    recorded_at=_seconds(event["recordedtime"]),
                    happened_at=_seconds(event["time"]),
                )
        for route, at, detail in file.execute("SELECT route, at, detail FROM deliveries ORDER BY id"):
            for position in positions(msgspec.msgpack.decode(detail)[0]):
                assert (route, position) not in delivered, f"{route} {position} is settled twice"
                delivered[route, position] = at
        failed = {
            (route, position): at
            for route, position, at in file.execute(
                "SELECT route, position, last_at FROM dead_letters "
                "WHERE kind = 'delivery' AND status IN ('open', 'retrying', 'discarded')"
            )
        }
        lanes = {}
        head: dict[tuple[str, str], str] = {}
        for route, key, position, state in file.execute(
            "SELECT route, key, position, state FROM lanes ORDER BY position"
        ):
            first = head.setdefault((route, key), state)
            lanes[route, position] = (
                "held_back" if state == "waiting" and first in {"parked", "dead"} else state
            )
    return Truth(events=events, delivered=delivered, failed=failed, lanes=lanes, types=types)


def _seconds(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


def check(report: Mapping[str, Any], truth: Truth, levels: Mapping[str, Any], on: Mapping[str, str]) -> None:
    """Compares a report of everything with what the file says, figure by figure.

    ``levels`` as configured, in seconds. ``on``: the event type of each route (without conditions).
    """
    since, now = _seconds(report["since"]), _seconds(report["at"])
    _check_latency(report, truth, since)
    _check_routes(report, truth, on, since, now)
    shown = {(level["name"], level["plant"]): level for level in report["levels"]}
    for name, wanted in levels.items():
        for plant in ("aachen", "brno"):
            _check_level(shown[name, plant], wanted, truth, on, plant, now)


def _check_latency(report: Mapping[str, Any], truth: Truth, since: float) -> None:
    rows = {(row["plant"], row["domain"], row["route"]): row for row in report["latency"]}
    groups: dict[tuple[str, str, str], list[tuple[float, float]]] = {}
    for (route, position), at in truth.delivered.items():
        fact = truth.events[position]
        if at >= since:
            clocks = (at - fact.recorded_at, at - fact.happened_at)
            groups.setdefault((fact.plant, fact.domain, route), []).append(clocks)
    assert rows.keys() == groups.keys()
    for key, durations in groups.items():
        row = rows[key]
        assert row["skewed"] == sum(min(each) < 0 for each in durations), key
        for clock, name in ((0, "pipeline"), (1, "end_to_end")):
            passed = sorted(each[clock] for each in durations if each[clock] >= 0)
            if not passed:
                assert row[name] is None
                continue
            assert row[name]["count"] == len(passed), (key, name)
            assert abs(row[name]["mean_ms"] - 1000 * sum(passed) / len(passed)) < 0.01
            for share, shown in ((0.5, "p50_ms"), (0.95, "p95_ms"), (0.99, "p99_ms")):
                rank = max(-(-len(passed) * share // 1), 1)
                exact_ms = passed[int(rank) - 1] * 1000
                assert abs(row[name][shown] - exact_ms) <= 0.15 * exact_ms + 0.11, (key, name, shown)


def _check_routes(
    report: Mapping[str, Any], truth: Truth, on: Mapping[str, str], since: float, now: float
) -> None:
    shown = {(row["plant"], row["route"]): row for row in report["routes"]}
    for plant in {fact.plant for fact in truth.events.values()}:
        for route in on:
            delivered = _positions(truth, truth.delivered, route, plant, None, since)
            failed = _positions(truth, truth.failed, route, plant, None, since)
            waiting = _waiting(truth, on, route, plant, None)
            row = shown.get((plant, route))
            if row is None:
                assert not delivered
                assert not failed
                assert not waiting
                continue
            assert (row["delivered"], row["failed"]) == (len(delivered), len(failed)), (plant, route)
            ended = len(delivered) + len(failed)
            assert row["failed_rate"] == (len(failed) / ended if ended else None)
            assert row["backlog"] == len(waiting), (plant, route)
            oldest = min((truth.events[position].recorded_at for position in waiting), default=None)
            if oldest is None:
                assert row["oldest_age_s"] is None
            else:
                assert abs(row["oldest_age_s"] - (now - oldest)) < 0.001
            for state in ("parked", "held_back"):
                assert row[state] == len(_in_lane(truth, route, plant, state)), (plant, route, state)


def _check_level(
    shown: Mapping[str, Any],
    wanted: Mapping[str, Any],
    truth: Truth,
    on: Mapping[str, str],
    plant: str,
    now: float,
) -> None:
    since = (now - wanted["window"]) // 60 * 60
    domain = wanted["domain"]
    routes = [route for route in on if wanted.get("route") in {None, route}]
    good = late = overdue = failed = ended = 0
    waiting: list[int] = []
    for route in routes:
        for position in _positions(truth, truth.delivered, route, plant, domain, since):
            passed = truth.delivered[route, position] - truth.events[position].recorded_at
            good += 0 <= passed <= wanted["latency"]
            late += passed > wanted["latency"]
            ended += 1
        failures = _positions(truth, truth.failed, route, plant, domain, since)
        failed += len(failures)
        ended += len(failures)
        here = _waiting(truth, on, route, plant, domain)
        waiting += here
        stuck = [*_in_lane(truth, route, plant, "parked"), *_in_lane(truth, route, plant, "held_back")]
        for position in (*here, *(at for at in stuck if truth.events[at].domain == domain)):
            overdue += now - truth.events[position].recorded_at > wanted["latency"]
    total = good + late + overdue
    latency, rate, age = shown["latency"], shown["failed_rate"], shown["backlog_age"]
    assert (latency["good"], latency["late"], latency["overdue"]) == (good, late, overdue), shown
    assert latency["exact"] is True
    assert latency["compliance"] == (good / total if total else None)
    allowed = (1 - wanted["target"]) * total
    assert abs(latency["budget_left"] - (allowed - late - overdue)) < 1e-5
    assert (rate["failed"], rate["ended"]) == (failed, ended), shown
    assert rate["rate"] == (failed / ended if ended else None)
    assert age["events"] == len(waiting)
    oldest_s = max((now - truth.events[position].recorded_at for position in waiting), default=None)
    assert (age["oldest_age_s"] is None) == (oldest_s is None)
    if oldest_s is not None:
        assert abs(age["oldest_age_s"] - oldest_s) < 0.001
    missed = [
        total > 0 and good / total < wanted["target"],
        ended > 0 and failed / ended > wanted["failed_rate"],
        oldest_s is not None and oldest_s > wanted["backlog_age"],
    ]
    found = [part["status"] == "breached" for part in (latency, rate, age)]
    assert found == missed, shown
    assert (shown["status"] == "breached") == any(missed)


def _positions(
    truth: Truth,
    ended: Mapping[tuple[str, int], float],
    route: str,
    plant: str,
    domain: str | None,
    since: float,
) -> list[int]:
    return [
        position
        for (on, position), at in ended.items()
        if on == route
        and at >= since
        and truth.events[position].plant == plant
        and domain in {None, truth.events[position].domain}
    ]


def _waiting(truth: Truth, on: Mapping[str, str], route: str, plant: str, domain: str | None) -> list[int]:
    """Neither delivered, nor failed for good, nor parked, nor held back by one of these."""
    return [
        position
        for position, fact in truth.events.items()
        if truth.types[position] == on[route]
        and fact.plant == plant
        and domain in {None, fact.domain}
        and (route, position) not in truth.delivered
        and (route, position) not in truth.failed
        and truth.lanes.get((route, position)) not in {"parked", "held_back"}
    ]


def _in_lane(truth: Truth, route: str, plant: str, state: str) -> list[int]:
    return [
        position
        for (on, position), found in truth.lanes.items()
        if (on, found) == (route, state) and truth.events[position].plant == plant
    ]
