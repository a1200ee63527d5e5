"""Topic filters with names for their levels: what a subscription means, and what a topic says.

``acme/brno/{area}/{line}/+`` is the filter ``acme/brno/+/+/+`` whose second and third wildcard
have names. Source: MQTT 5.0, 4.7 (topic names and filters) and 4.8.2 (shared subscriptions).
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from msgspec import Struct

__all__ = ["RESERVED", "TopicFilter", "check_topic", "overlap", "parse_filter"]

RESERVED = frozenset(
    {"topic", "qos", "retain", "mid", "dup", "response_topic", "correlation_data", "message_expiry"}
)
"""Attributes that every message has or may have; captures cannot take their names."""

LONGEST_BYTES = 65_535
_CAPTURE = re.compile(r"\{([a-z][a-z0-9_]*)\}")


class TopicFilter(Struct, frozen=True, kw_only=True):
    """A subscription's filter as the broker sees it, and the names of its captures by level."""

    text: str
    filter: str
    levels: tuple[str, ...]
    captures: tuple[tuple[int, str], ...]

    def match(self, topic: Sequence[str]) -> dict[str, str] | None:
        """The captures of a topic, given as its levels; None when the filter does not cover it."""
        if topic[0].startswith("$") and self.levels[0] in ("+", "#"):
            return None
        open_ended = self.levels[-1] == "#"
        wanted = self.levels[:-1] if open_ended else self.levels
        if len(topic) < len(wanted) or (len(topic) > len(wanted) and not open_ended):
            return None
        for level, want in zip(topic, wanted, strict=False):
            if want not in ("+", level):
                return None
        return {name: topic[index] for index, name in self.captures}


def parse_filter(text: str) -> TopicFilter:
    """Raises ValueError that says what is wrong with the template."""
    _check_characters(text, "a topic filter")
    levels, captures = [], []
    for index, level in enumerate(_plain(text).split("/")):
        found = _CAPTURE.fullmatch(level)
        if found:
            captures.append((index, found[1]))
        elif "{" in level or "}" in level:
            raise ValueError(f"{level!r} is not a capture: write {{name}} for a whole level (a-z, 0-9, _)")
        levels.append("+" if found else level)
    _check_levels(text, levels)
    _check_captures(text, [name for _, name in captures])
    share = text[: len(text) - len(_plain(text))]
    return TopicFilter(
        text=text, filter=share + "/".join(levels), levels=tuple(levels), captures=tuple(captures)
    )


def overlap(one: TopicFilter, other: TopicFilter) -> bool:
    """Whether some topic is covered by both, so that a broker may send its messages twice."""
    for left, right in zip(one.levels, other.levels, strict=False):
        if "#" in (left, right):
            return True
        if left != right and "+" not in (left, right):
            return False
    longer = max(one.levels, other.levels, key=len)
    shorter = min(len(one.levels), len(other.levels))
    return len(longer) == shorter or longer[shorter] == "#"


def check_topic(topic: str) -> None:
    """Raises ValueError when nothing can be published to ``topic``."""
    _check_characters(topic, "a topic")
    if "+" in topic or "#" in topic:
        raise ValueError(f"{topic!r} has a wildcard; a message goes to one topic")


def _plain(text: str) -> str:
    """The filter without ``$share/NAME/``."""
    if not text.startswith("$share/"):
        return text
    parts = text.split("/", 2)
    if len(parts) < 3 or not parts[1] or not parts[2] or "+" in parts[1] or "#" in parts[1]:
        raise ValueError(f"{text!r} is not a shared subscription: write $share/NAME/FILTER")
    return parts[2]


def _check_characters(text: str, what: str) -> None:
    if not text:
        raise ValueError(f"{what} needs at least one character")
    if "\0" in text:
        raise ValueError(f"{what} cannot contain the character NUL")
    try:
        size_bytes = len(text.encode())
    except UnicodeEncodeError:
        raise ValueError(f"{text!r} has characters that UTF-8 cannot carry") from None
    if size_bytes > LONGEST_BYTES:
        raise ValueError(f"{what} has at most {LONGEST_BYTES} bytes, this one has {size_bytes}")


def _check_levels(text: str, levels: Sequence[str]) -> None:
    for index, level in enumerate(levels):
        if ("+" in level or "#" in level) and len(level) > 1:
            raise ValueError(f"{text!r}: a wildcard stands alone in its level, not as in {level!r}")
        if level == "#" and index < len(levels) - 1:
            raise ValueError(f"{text!r}: # is the last level or none")


def _check_captures(text: str, names: Sequence[str]) -> None:
    for name in names:
        if name in RESERVED:
            raise ValueError(f"{text!r}: {{{name}}} would hide the message's own {name}; take another name")
        if names.count(name) > 1:
            raise ValueError(f"{text!r}: {{{name}}} occurs twice")
