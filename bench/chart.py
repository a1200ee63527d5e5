"""Bars as SVG: each contestant beside ours, ours being the unit."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from bench.contest import Result

__all__ = ["chart"]

_WIDTH, _LABEL, _BAR, _GAP, _HEAD = 860, 250, 16, 5, 30
_OURS, _PEER, _TEXT = "#0f766e", "#94a3b8", "#64748b"


def chart(results: Sequence[Result]) -> str:
    """A group of bars a bench. The colours hold on light and dark ground."""
    parts: list[str] = []
    y = 10
    for result in results:
        parts.append(_text(0, y + 14, f"{result.name} ({result.unit}, {result.better} is better)", bold=True))
        y += _HEAD
        values = {"ours": result.ours, **result.peers}
        largest = max(values.values(), default=0.0) or 1.0
        for name, value in values.items():
            width = max((_WIDTH - _LABEL - 110) * value / largest, 1.0)
            colour = _OURS if name == "ours" else _PEER
            parts.append(_text(8, y + 12, name))
            parts.append(
                f'<rect x="{_LABEL}" y="{y}" width="{width:.1f}" height="{_BAR}" rx="2" fill="{colour}"/>'
            )
            parts.append(_text(_LABEL + width + 6, y + 12, f"{value:,.4g}"))
            y += _BAR + _GAP
        y += 12
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {y}" width="{_WIDTH}" role="img">'
    return "\n".join([head, *parts, "</svg>", ""])


def _text(x: float, y: float, text: str, *, bold: bool = False) -> str:
    weight = ' font-weight="600"' if bold else ""
    return (
        f'<text x="{x:.1f}" y="{y}" font-family="system-ui, sans-serif" font-size="13"{weight} '
        f'fill="{_TEXT}">{escape(text)}</text>'
    )
