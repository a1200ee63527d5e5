"""Prometheus' and Grafana's files: every metric and label that they ask for is one that a hub shows."""

from __future__ import annotations

import asyncio
import json
import re
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client.core import Metric
from prometheus_client.parser import text_string_to_metric_families

from config.model import Deployment
from gateway.exposition import Exposition
from gateway.metrics import Metrics
from tests.gateway.hubs import event, opened
from tests.servers.required import program

FOLDER = Path(__file__).parents[2] / "deploy" / "compose"
DASHBOARDS = sorted((FOLDER / "grafana" / "dashboards").glob("*.json"))
SELECTED = re.compile(r"\b(crossplant_\w+)(?:\{([^}]*)\})?")
MATCHER = re.compile(r'(\w+)\s*(?:=~|!~|!=|=)\s*"')
GROUPED = re.compile(r"\b(?:by|without)\s*\(([^)]*)\)")
SUFFIXES = {"counter": ("_total",), "histogram": ("_bucket", "_sum", "_count")}


def alerts() -> Iterator[tuple[str, str]]:
    """(name, expression) of every alert."""
    for group in yaml.safe_load((FOLDER / "prometheus" / "alerts.yml").read_text())["groups"]:
        for rule in group["rules"]:
            yield rule["alert"], rule["expr"]


def queries() -> Iterator[tuple[str, str]]:
    """(panel, expression) of every query of every dashboard, those of its variables included."""
    for path in DASHBOARDS:
        dashboard = json.loads(path.read_text())
        for panel in dashboard["panels"]:
            for target in panel["targets"]:
                yield panel["title"], target["expr"]
        for variable in dashboard["templating"]["list"]:
            if variable["type"] == "query":
                yield f"variable {variable['name']}", variable["definition"]


ASKED = [*alerts(), *queries()]


def names(family: Metric) -> set[str]:
    """The names of a family's samples."""
    name = family.name.removesuffix("_total")
    return {name + suffix for suffix in SUFFIXES.get(family.type, ("",))}


def labels() -> dict[str, set[str]]:
    """Sample name → its labels, as the exposition declares them."""
    families = Exposition(Metrics(Deployment(company="acme"))).collect()
    found: dict[str, set[str]] = {}
    for family in families:
        own = {*getattr(family, "_labelnames", ()), *(["le"] if family.type == "histogram" else [])}
        found |= dict.fromkeys(names(family), own)
    return found


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    """The names of all samples that a real hub shows Prometheus."""
    text = asyncio.run(scraped(tmp_path_factory.mktemp("hub")))
    return {name for family in text_string_to_metric_families(text) for name in names(family)}


async def scraped(folder: Path) -> str:
    """What a hub answers that has taken in an event."""
    async with opened(folder / "data") as gate:
        await gate.record(event(1))
        answer = await (await gate.client("monitor")).get("/metrics")
        assert answer.status_code == 200
        return answer.text


@pytest.mark.parametrize(("title", "expression"), ASKED, ids=[title for title, _ in ASKED])
def test_what_is_asked_for_is_there(title: str, expression: str, shown: set[str]) -> None:
    asked = SELECTED.findall(expression)
    assert asked or expression.startswith("up{"), f"{title} asks for nothing of ours"
    known: Mapping[str, set[str]] = labels()
    for name, selector in asked:
        assert name in shown, f"{title}: no hub shows {name}"
        unknown = set(MATCHER.findall(selector)) - known[name]
        assert not unknown, f"{title}: {name} has no label {unknown}"
    every = set().union(*(known[name] for name, _ in asked)) if asked else set()
    for group in GROUPED.findall(expression):
        assert {label.strip() for label in group.split(",")} <= every, f"{title}: by ({group})"


def test_every_metric_that_needs_watching_is_on_the_dashboard() -> None:
    asked = {name for _, expression in queries() for name, _ in SELECTED.findall(expression)}
    for wanted in (
        "crossplant_message_latency_seconds_bucket",
        "crossplant_backlog_events",
        "crossplant_backlog_oldest_age_seconds",
        "crossplant_adapter_connected",
        "crossplant_dead_letters",
        "crossplant_parked_events",
    ):
        assert wanted in asked


def test_the_dashboard_is_whole() -> None:
    sources = yaml.safe_load((FOLDER / "grafana/provisioning/datasources/prometheus.yaml").read_text())
    uids = {source["uid"] for source in sources["datasources"]}
    for path in DASHBOARDS:
        dashboard = json.loads(path.read_text())
        panels = dashboard["panels"]
        assert len({panel["id"] for panel in panels}) == len(panels)
        assert {panel["datasource"]["uid"] for panel in panels} <= uids
        cells = [cell for panel in panels for cell in _cells(panel["gridPos"])]
        assert len(cells) == len(set(cells)), "panels lie on each other"
        assert max(x for x, _ in cells) < 24


def _cells(place: Mapping[str, int]) -> Iterator[tuple[int, int]]:
    for x in range(place["x"], place["x"] + place["w"]):
        for y in range(place["y"], place["y"] + place["h"]):
            yield x, y


def test_the_hub_is_scraped_with_a_key_from_a_file() -> None:
    settings: dict[str, Any] = yaml.safe_load((FOLDER / "prometheus" / "prometheus.yml").read_text())
    [job] = [job for job in settings["scrape_configs"] if job["job_name"] == "crossplant"]
    assert job["authorization"] == {"credentials_file": "/run/secrets/prometheus-key"}
    assert job["static_configs"] == [{"targets": ["hub:8080"]}]
    for file in settings["rule_files"]:
        assert (FOLDER / "prometheus" / file).is_file()


@pytest.mark.requires_server("promtool")
def test_promtool_takes_the_files() -> None:
    promtool = program("promtool")
    for what, file in (("config", "prometheus.yml"), ("rules", "alerts.yml")):
        path = str(FOLDER / "prometheus" / file)
        argv = [promtool, "check", what, *(["--syntax-only"] if what == "config" else []), path]
        done = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
