"""Small pictures made on the server: the shapes of the severities, and sparklines that need no script."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from markupsafe import Markup

__all__ = ["shape", "sparkline"]

_PATHS: Final = {
    "attention": "M8 1.5 14.5 8 8 14.5 1.5 8Z",
    "warning": "M8 1.5 15 14.5H1Z",
    "failed": "M5 1h6l4 4v6l-4 4H5l-4-4V5Z",
    "stale": "M8 1.5a6.5 6.5 0 1 0 0 13a6.5 6.5 0 1 0 0-13M8 4.5V8l2.5 2",
}
"""Diamond, triangle, octagon, clock: told apart without colour."""

_WIDTH, _HEIGHT = 160.0, 32.0


def shape(severity: str) -> Markup:
    """The severity's shape; its word stands beside it."""
    return Markup(
        '<svg class="shape {0}" viewBox="0 0 16 16" width="14" height="14" aria-hidden="true" '
        'focusable="false">'
        '<path d="{1}"/></svg>'
    ).format(severity, _PATHS[severity])


def sparkline(points: Sequence[float | None]) -> Markup:
    """A line over the points, from 0 up; gaps where there are none."""
    most = max((point for point in points if point is not None), default=0.0) or 1.0
    step = _WIDTH / max(len(points) - 1, 1)
    parts, drawing = [], False
    for index, point in enumerate(points):
        if point is None:
            drawing = False
            continue
        height = _HEIGHT - 1 - (_HEIGHT - 2) * point / most
        parts.append(f"{'L' if drawing else 'M'}{index * step:.1f} {height:.1f}")
        drawing = True
    return Markup(
        '<svg class="spark-line" viewBox="0 0 160 32" preserveAspectRatio="none" aria-hidden="true" '
        'focusable="false"><path d="{}"/></svg>'
    ).format("".join(parts) or "M0 31")
