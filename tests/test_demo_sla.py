"""The service levels of a run of the demo, its ERP's absence included, against the journal that it leaves."""

from __future__ import annotations

import json
import time
from contextlib import closing
from importlib.resources import files
from pathlib import Path
from typing import Any

import apsw
import pytest
import yaml

from config.model import Deployment
from gateway.sla import buckets, unfinished
from gateway.sla.levels import recent_s
from gateway.sla.report import Seen, levels_of
from router.journal.writer import Statements
from tests.gateway.brute import Truth, read
from tests.test_demo import demo

pytestmark = pytest.mark.timeout(180)


def promised() -> Deployment:
    """The demo's plants and service levels, without what its servers have to tell."""
    sections: dict[str, Any] = {"company": "acme", "plants": {}, "service_levels": {}}
    for file in files("config").joinpath("examples/demo").iterdir():
        if file.name.endswith(".yaml"):
            written = yaml.safe_load(file.read_text(encoding="utf-8"))
            for name in ("plants", "service_levels"):
                sections[name] |= written.get(name) or {}
    return Deployment.model_validate(sections)


def seen_of(folder: Path, levels: Any, now: float) -> Seen:
    """What the hub would see in the folder now."""
    lengths = {length for level in levels.values() for length in (level.window, recent_s(level.window))}
    begins = {buckets.began_at(now, length) for length in lengths}
    with closing(apsw.Connection(str(folder / "journal.db"), flags=apsw.SQLITE_OPEN_READONLY)) as file:
        statements = Statements(file)
        return Seen(
            now=now,
            figures={since: buckets.figures(statements, since) for since in begins},
            failed=unfinished.failures(statements, min(begins)),
            open=unfinished.in_lanes(statements),
            letters=(),
        )


def naive(truth: Truth, level: Any, plant: str, since: float) -> tuple[int, int, int, int]:
    """(good, late, failed, ended)."""

    def counts(route: str, position: int, at: float) -> bool:
        fact = truth.events[position]
        return (
            at >= since
            and (fact.plant, fact.domain) == (plant, level.domain)
            and level.route in {None, route}
        )

    passed = [
        at - truth.events[position].recorded_at
        for (route, position), at in truth.delivered.items()
        if counts(route, position, at)
    ]
    failed = sum(counts(*key, at) for key, at in truth.failed.items())
    good = sum(0 <= each <= (level.latency or 0) for each in passed)
    return good, len(passed) - good, failed, len(passed) + failed


_AFTERWARDS = 3


def test_a_run_of_the_demo_leaves_figures_that_equal_a_recomputation(tmp_path: Path) -> None:
    done = demo("--for", "30", "--json", "--data", tmp_path)
    assert done.code == 0, done.err
    told = json.loads(done.out.splitlines()[-1])
    truth = read(tmp_path)
    # The hub tells its account, then stops, and may deliver what it says of itself in between.
    assert 0 <= len(truth.delivered) - sum(told["delivered"].values()) <= _AFTERWARDS
    deployment = promised()
    now = time.time()
    shown = levels_of(deployment, seen_of(tmp_path, deployment.service_levels, now))
    late = failed_in_all = 0
    for each in shown:
        level = deployment.service_levels[each["name"]]
        good, too_late, failed, ended = naive(
            truth, level, each["plant"], buckets.began_at(now, level.window)
        )
        if each["latency"] is not None:
            assert (each["latency"]["good"], each["latency"]["late"]) == (good, too_late), each
            assert each["latency"]["exact"]
            late += too_late
        if each["failed_rate"] is not None:
            assert (each["failed_rate"]["failed"], each["failed_rate"]["ended"]) == (failed, ended), each
            failed_in_all += failed
    assert late > 0, "the ERP's absence should have made some documents late"
    assert failed_in_all > 0
