"""A dead letter: what could not be delivered, with its original bytes and what was wrong with it."""

from __future__ import annotations

import re
from hashlib import blake2b
from typing import Literal

from msgspec import Struct, field

from canonical.ports import Attribute

__all__ = ["DeadLetter", "Kind", "Status", "fingerprint"]

Kind = Literal["message", "delivery"]
"""``message``: refused on its way in, no event was recorded. ``delivery``: one route could not deliver it."""

Status = Literal["open", "retrying", "recovered", "discarded"]
"""``open`` waits for a person; ``retrying`` was asked for and is not decided yet."""


class DeadLetter(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One dead letter. Times are seconds since 1970 UTC.

    A message has ``message_id``; a delivery has ``route``, ``key``, ``position`` and ``event`` (its
    CloudEvents JSON). ``body`` are the bytes as they came in. ``errors`` are (pointer, detail).
    """

    id: int = 0
    kind: Kind
    status: Status = "open"
    stage: str
    code: str
    error: str
    errors: tuple[tuple[str, str], ...] = ()
    adapter: str = ""
    plant: str = ""
    type: str = ""
    route: str = ""
    key: str = ""
    position: int | None = None
    message_id: str = ""
    body: bytes = b""
    content_type: str = ""
    attributes: dict[str, Attribute] = field(default_factory=dict)
    event: bytes | None = None
    attempts: int = 1
    first_at: float = 0.0
    last_at: float = 0.0
    resolved_at: float | None = None
    resolved_by: str = ""
    reason: str = ""

    @property
    def fingerprint(self) -> str:
        """Equal for dead letters that failed alike at the same place."""
        return fingerprint(self.route or self.adapter, self.stage, self.code, self.error)


_VARIABLE = re.compile(r"'[^']*'|\"[^\"]*\"|\b[0-9a-f]{8,}\b|\d+")


def fingerprint(where: str, stage: str, code: str, error: str) -> str:
    """12 hex digits over place, stage, code and the error text without its quoted parts and numbers."""
    text = "\0".join((where, stage, code, _VARIABLE.sub("…", error)))
    return blake2b(text.encode(), digest_size=6).hexdigest()
