"""Takes people and secrets out of EDI: by its own separators, segment by segment, lengths kept. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Final

__all__ = ["masked_edi"]

Blank = Callable[[str], str]

_EDIFACT: Final[Mapping[str, int]] = {"CTA": 2, "COM": 1, "NAD": 3}
"""From which element on a segment names people: contacts, how to reach them, names and addresses
(D.96A: CTA C056, COM C076, NAD C058 and what follows)."""
_X12: Final[Mapping[str, int]] = {"PER": 2, "N2": 1, "N3": 1}
_X12_ONLY: Final[Mapping[str, tuple[int, ...]]] = {"N1": (2,), "ISA": (2, 4)}
"""Names of parties; authorization and security information of the envelope (I02, I04)."""
_PASSWORD: Final = 6
"""UNB S005, the recipient's reference or password."""
_QUALIFIER: Final = 3


def masked_edi(text: str, blank: Blank) -> str | None:
    """The interchange without them; None for what is none."""
    start = text.lstrip("\ufeff \r\n")
    if start.startswith("ISA"):  # what is cut off is taken to have the usual separators
        element, component, end = (start[3], start[104], start[105]) if len(start) > 105 else ("*", ">", "~")
        return _segments(text, end, element, component, "", _x12(blank))
    if not start.startswith(("UNA", "UNB")):
        return None
    advice = start[3:9] if start.startswith("UNA") else ":+.? '"
    component, element, release, end = advice[0], advice[1], advice[3], advice[5]
    head, rest = text.split(advice, 1) if start.startswith("UNA") else ("", text)
    masked = _segments(rest, end, element, component, release.strip(), _edifact(blank))
    return f"{head}{advice}{masked}" if start.startswith("UNA") else masked


def _segments(
    text: str, end: str, element: str, component: str, release: str, mask: Callable[[str, int, str], str]
) -> str:
    """``mask(tag, element, component)`` for each component from the first element on."""
    before = f"(?<!{re.escape(release)})" if release else ""
    kept = []
    for segment in re.split(f"{before}({re.escape(end)})", text):
        elements = re.split(f"{before}({re.escape(element)})", segment)
        tag = elements[0].strip()
        for index in range(2, len(elements), 2):
            parts = re.split(f"{before}({re.escape(component)})", elements[index])
            elements[index] = "".join(
                part if at % 2 else mask(tag, index // 2, part) for at, part in enumerate(parts)
            )
        kept.append("".join(elements))
    return "".join(kept)


def _edifact(blank: Blank) -> Callable[[str, int, str], str]:
    def mask(tag: str, number: int, part: str) -> str:
        if tag == "UNB" and number == _PASSWORD:
            return blank(part)
        first = _EDIFACT.get(tag)
        if first is None or number < first or len(part) <= _QUALIFIER:
            return part
        return blank(part)

    return mask


def _x12(blank: Blank) -> Callable[[str, int, str], str]:
    def mask(tag: str, number: int, part: str) -> str:
        if number in _X12_ONLY.get(tag, ()):
            return blank(part)
        first = _X12.get(tag)
        return part if first is None or number < first or len(part) <= _QUALIFIER else blank(part)

    return mask
