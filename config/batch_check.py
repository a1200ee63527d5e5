"""Routes that batch: whether their target takes several documents at once, and their format can say them."""

from __future__ import annotations

from collections.abc import Iterator

from config.findings import Finding
from config.route import Route
from config.view import View

__all__ = ["batch_findings"]

_FORMATS = ("json", "cloudevents")


def batch_findings(view: View, name: str, route: Route) -> Iterator[Finding]:
    """What keeps a route's deliveries from going out together."""
    if route.batch is None:
        return
    place, key = view.place("routes", name, "batch"), f"routes.{name}.batch"
    adapter = view.deployment.adapters.get(route.to.adapter)
    if adapter and not adapter.spec.traits.batches:
        yield place.finding(
            f"{key}: {route.to.adapter!r} ({adapter.kind!r}) takes one document at a time; leave out batch"
        )
    if route.format.kind not in _FORMATS:
        yield place.finding(
            f"{key}: {route.format.kind!r} has no form for several documents; use json, or leave out batch"
        )
    if getattr(route.to.options, "method", "") == "DELETE":
        yield place.finding(f"{key}: a DELETE has no body for the documents; use POST, PUT or PATCH")
