"""What an API key is: its data, its row, and what makes one valid."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Literal, get_args

import msgspec
from msgspec import Struct, structs

from canonical.errors import CrossplantError

__all__ = [
    "COLUMNS",
    "ROLES",
    "TABLES",
    "Created",
    "Key",
    "KeyConflict",
    "NewKey",
    "Role",
    "check",
    "from_row",
    "to_row",
]

Role = Literal["viewer", "operator", "integrator", "steward", "approver", "admin", "monitor"]
ROLES: tuple[Role, ...] = get_args(Role)

TABLES = (
    """CREATE TABLE IF NOT EXISTS api_keys (
        id TEXT PRIMARY KEY, name TEXT NOT NULL, hash TEXT NOT NULL, roles TEXT NOT NULL, plants TEXT,
        domains TEXT, created_at REAL NOT NULL, created_by TEXT NOT NULL, expires_at REAL,
        revoked_at REAL, last_used_at REAL) WITHOUT ROWID""",
    "CREATE UNIQUE INDEX IF NOT EXISTS api_keys_by_name ON api_keys (name) WHERE revoked_at IS NULL",
)

_LONGEST_NAME = 200


class Key(Struct, frozen=True, kw_only=True):
    """What is known of a key beside its secret. ``plants`` and ``domains`` None: all of them.

    Times are seconds since 1970 UTC; ``last_used_at`` is a minute behind at most.
    """

    id: str
    name: str
    roles: tuple[Role, ...]
    plants: tuple[str, ...] | None = None
    domains: tuple[str, ...] | None = None
    created_at: float
    created_by: str
    expires_at: float | None = None
    revoked_at: float | None = None
    last_used_at: float | None = None

    def valid(self, now: float) -> bool:
        """Neither revoked nor expired."""
        return self.revoked_at is None and (self.expires_at is None or now < self.expires_at)


class NewKey(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """What somebody asks for. ``plants`` and ``domains`` None: all of them; ``expires_at`` None: never.

    ``reason``: why; it stands in the audit.
    """

    name: str
    roles: tuple[Role, ...]
    plants: tuple[str, ...] | None = None
    domains: tuple[str, ...] | None = None
    expires_at: datetime | None = None
    reason: str = ""


class Created(Struct, frozen=True, kw_only=True):
    """A new key and its text, which is never shown again."""

    text: str
    key: Key


class KeyConflict(CrossplantError):
    """Another key has that name."""

    code = "key_exists"


COLUMNS = Key.__struct_fields__
_JSON = {"roles", "plants", "domains"}


def from_row(row: Sequence[Any]) -> Key:
    """The key of a row's columns."""
    values = dict(zip(COLUMNS, row, strict=True))
    for name in _JSON:
        values[name] = None if values[name] is None else tuple(msgspec.json.decode(values[name]))
    return Key(**values)


def to_row(key: Key) -> list[Any]:
    """A key as columns."""
    values = structs.asdict(key)
    for name in _JSON:
        values[name] = None if values[name] is None else msgspec.json.encode(values[name]).decode()
    return [values[name] for name in COLUMNS]


def check(wanted: NewKey) -> None:
    """Raises ValueError for what no key can be."""
    if not wanted.name.strip() or len(wanted.name) > _LONGEST_NAME or not wanted.name.isprintable():
        raise ValueError(f"a key's name is 1 to {_LONGEST_NAME} printable characters")
    unknown = sorted(set(wanted.roles) - set(ROLES))
    if unknown or not wanted.roles:
        raise ValueError(f"a key needs roles of {', '.join(ROLES)}; not {', '.join(unknown) or 'none'}")
    for names in (wanted.plants, wanted.domains):
        if names is not None and (not names or not all(name.strip("- ") for name in names)):
            raise ValueError("plants and domains are lists of names; leave them out for all")
    if wanted.expires_at is not None and wanted.expires_at.tzinfo is None:
        raise ValueError("the time of expiry needs an offset, like 2026-12-31T00:00:00Z")
