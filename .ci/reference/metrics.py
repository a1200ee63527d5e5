"""The page of the metrics, from the exposition that Prometheus scrapes."""

from __future__ import annotations

from collections.abc import Iterator

from config.model import Deployment
from gateway.exposition import Exposition
from gateway.metrics import Metrics
from reference.markdown import cell, code, page, table

__all__ = ["pages"]

_HEAD = """\
`GET /metrics`, for keys of the role `monitor` (or `admin`). An event without a plant has `plant="-"`. A
counter and a histogram start at zero with the hub; gauges are read every five seconds."""

_END = """\
Which of them to watch, and what to do: [operations](../operations.md#monitoring). Ready-made rules and a
dashboard: `deploy/compose/prometheus/alerts.yml`, `deploy/compose/grafana/dashboards/crossplant.json`."""


def pages() -> Iterator[tuple[str, str]]:
    """(path below docs/reference, text)."""
    rows = []
    for family in Exposition(Metrics(Deployment(company="acme"))).collect():
        name = family.name + ("_total" if family.type == "counter" else "")
        labels = ", ".join(getattr(family, "_labelnames", ()))
        rows.append((code(name), family.type, code(labels), cell(family.documentation)))
    yield "metrics.md", page("Metrics", _HEAD, table(("Metric", "Type", "Labels", "Meaning"), rows), _END)
