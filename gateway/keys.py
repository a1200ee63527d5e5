"""API keys: made, listed, rotated, revoked, and verified.

A key is ``cp_<id>_<secret>``: the id finds the row, argon2id proves the secret, which nobody keeps.
What was verified is remembered for a minute under a keyed hash, so that a busy client costs one
argon2id per minute; revoking and rotating forget it at once.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections import Counter, OrderedDict
from collections.abc import Callable
from datetime import UTC, datetime
from hashlib import blake2b

from argon2 import PasswordHasher
from argon2.exceptions import Argon2Error, InvalidHashError
from msgspec import structs

from canonical.errors import CrossplantError
from canonical.event import utc_now
from canonical.ports import Store, Transaction
from deadletter.service import Audit
from gateway.key import (
    COLUMNS,
    ROLES,
    TABLES,
    Created,
    Key,
    KeyConflict,
    NewKey,
    Role,
    check,
    from_row,
    to_row,
)

__all__ = ["ROLES", "TABLES", "Created", "Key", "KeyConflict", "Keys", "NewKey", "Role"]

_PREFIX = "cp"
_ID_CHARACTERS = "abcdefghjkmnpqrstuvwxyz23456789"
_REMEMBERED_S = 60.0
_REMEMBERED = 1000
_LONGEST = 200
_USED_EVERY_S = 60.0
_AT_ONCE = 2  # verifications; each takes 19 MiB
# Secrets are 256 random bits, so the hash only has to be what the checklist asks for, not slow:
# OWASP's smallest recommendation for argon2id.
_hasher = PasswordHasher(time_cost=2, memory_cost=19456, parallelism=1)
_LIST = ", ".join(COLUMNS)


def _new_id() -> str:
    return "".join(secrets.choice(_ID_CHARACTERS) for _ in range(10))


def _find(transaction: Transaction, identifier: str) -> Key | None:
    rows = transaction.execute(f"SELECT {_LIST} FROM api_keys WHERE id = ?", (identifier,))  # noqa: S608
    return from_row(rows[0]) if rows else None


class Keys:
    """The keys of one store: a running hub's, or one that the command line opened."""

    def __init__(self, store: Store, audit: Audit, clock: Callable[[], datetime] = utc_now) -> None:
        self._store, self._audit, self._clock = store, audit, clock
        self._pepper = secrets.token_bytes(16)
        self._verified: OrderedDict[bytes, tuple[Key, float]] = OrderedDict()
        self._used: dict[str, float] = {}
        self._slots = asyncio.Semaphore(_AT_ONCE)
        self._nobody = ""
        self._ended = 0  # how often keys were rotated or revoked here
        self._generations: Counter[str] = Counter()
        self._verifying: dict[bytes, asyncio.Task[Key | None]] = {}

    # ── made and ended ───────────────────────────────────────────────────────────────────────────

    async def create(self, wanted: NewKey, *, by: str) -> Created:
        """A new key. Raises ValueError for a name or role that does not do, KeyConflict for a name taken."""
        check(wanted)
        name = wanted.name
        key = Key(
            id=_new_id(),
            name=name,
            roles=tuple(role for role in ROLES if role in wanted.roles),
            plants=None if wanted.plants is None else tuple(sorted(set(wanted.plants))),
            domains=None if wanted.domains is None else tuple(sorted(set(wanted.domains))),
            created_at=self._now(),
            created_by=by,
            expires_at=None if wanted.expires_at is None else wanted.expires_at.timestamp(),
        )
        secret, digest = await self._secret()

        def work(transaction: Transaction) -> None:
            taken = "SELECT 1 FROM api_keys WHERE name = ? AND revoked_at IS NULL"
            if transaction.execute(taken, (name,)):
                raise KeyConflict(f"there is a key named {name!r}: rotate or revoke it, or take another name")
            transaction.execute(
                f"INSERT INTO api_keys ({_LIST}, hash) VALUES ({', '.join('?' * (len(COLUMNS) + 1))})",  # noqa: S608
                [*to_row(key), digest],
            )
            told = {
                "name": name,
                "roles": key.roles,
                "plants": key.plants,
                "domains": key.domains,
                "expires_at": key.expires_at,
                **_why(wanted.reason),
            }
            self._audit(transaction, by, "key.create", f"key/{key.id}", told)

        await self._store.write(work)
        return Created(text=f"{_PREFIX}_{key.id}_{secret}", key=key)

    async def rotate(self, identifier: str, *, by: str, reason: str = "") -> Created:
        """A new secret for the same key; the old one ends at once. Raises LookupError."""
        secret, digest = await self._secret()

        def work(transaction: Transaction) -> Key:
            key = self._live(transaction, identifier)
            transaction.execute("UPDATE api_keys SET hash = ? WHERE id = ?", (digest, key.id))
            told = {"name": key.name, **_why(reason)}
            self._audit(transaction, by, "key.rotate", f"key/{key.id}", told)
            return key

        key = await self._store.write(work)
        self._forget(key.id)
        return Created(text=f"{_PREFIX}_{key.id}_{secret}", key=key)

    async def revoke(self, identifier: str, *, by: str, reason: str = "") -> Key:
        """Ends it for good; it stays in the list. Raises LookupError."""
        now = self._now()

        def work(transaction: Transaction) -> Key:
            key = self._live(transaction, identifier)
            transaction.execute("UPDATE api_keys SET revoked_at = ? WHERE id = ?", (now, key.id))
            told = {"name": key.name, **_why(reason)}
            self._audit(transaction, by, "key.revoke", f"key/{key.id}", told)
            return structs.replace(key, revoked_at=now)

        key = await self._store.write(work)
        self._forget(key.id)
        return key

    @staticmethod
    def _live(transaction: Transaction, identifier: str) -> Key:
        """The key by its id, or by its name. Raises LookupError for none, or one revoked."""
        key = _find(transaction, identifier)
        if key is None:
            named = transaction.execute(
                f"SELECT {_LIST} FROM api_keys WHERE name = ? AND revoked_at IS NULL",  # noqa: S608
                (identifier,),
            )
            key = from_row(named[0]) if named else None
        if key is None or key.revoked_at is not None:
            raise LookupError(f"there is no key {identifier!r}, or it is revoked")
        return key

    # ── looked at ────────────────────────────────────────────────────────────────────────────────

    async def list(self) -> list[Key]:
        """All keys, those revoked included, oldest first."""
        rows = await self._store.read(
            lambda t: t.execute(f"SELECT {_LIST} FROM api_keys ORDER BY created_at, id")  # noqa: S608
        )
        return [from_row(row) for row in rows]

    async def find(self, identifier: str) -> Key | None:
        """The key by its id."""
        return await self._store.read(lambda t: _find(t, identifier))

    # ── verified ─────────────────────────────────────────────────────────────────────────────────

    def remembered(self, text: str) -> Key | None:
        """The key of a text that was verified within the last minute and is still valid."""
        digest = self._digest(text)
        known = self._verified.get(digest)
        if known is None:
            return None
        key, until = known
        if time.monotonic() >= until or not key.valid(self._now()):
            del self._verified[digest]
            return None
        return key

    async def verify(self, text: str) -> Key | None:
        """The valid key that ``text`` is, or None; as slow for an unknown id as for a wrong secret."""
        known = self.remembered(text)
        if known is not None:
            return known
        prefix, _, rest = text.partition("_")
        identifier, _, secret = rest.partition("_")
        if prefix != _PREFIX or not identifier or not secret or len(text) > _LONGEST or not text.isascii():
            return None
        digest = self._digest(text)
        verifying = self._verifying.get(digest)
        if verifying is None:  # a client that opens many connections at once costs one verification
            verifying = asyncio.create_task(self._verify(identifier, secret, digest))
            self._verifying[digest] = verifying
            verifying.add_done_callback(lambda _: self._verifying.pop(digest, None))
        return await asyncio.shield(verifying)

    async def _verify(self, identifier: str, secret: str, digest: bytes) -> Key | None:
        ended = self._ended
        rows = await self._store.read(
            lambda t: t.execute(f"SELECT {_LIST}, hash FROM api_keys WHERE id = ?", (identifier,))  # noqa: S608
        )
        kept = str(rows[0][-1]) if rows else await self._nobodys()
        if not await self._matches(kept, secret) or not rows:
            return None
        key = from_row(rows[0][:-1])
        if not key.valid(self._now()):
            return None
        if ended == self._ended:  # else it may just have been revoked
            self._verified[digest] = key, time.monotonic() + _REMEMBERED_S
        while len(self._verified) > _REMEMBERED:
            self._verified.popitem(last=False)
        await self._note_use(key)
        return key

    async def alive(self, identifier: str) -> bool:
        """Whether the key may still be used; for answers that last (streams)."""
        key = await self.find(identifier)
        return key is not None and key.valid(self._now())

    def generation(self, identifier: str) -> int:
        """Grows when the key is rotated or revoked; what was opened with an earlier one has ended."""
        return self._generations[identifier]

    def _digest(self, text: str) -> bytes:
        return blake2b(text.encode("utf-8", "replace"), key=self._pepper, digest_size=32).digest()

    async def _matches(self, digest: str, secret: str) -> bool:
        async with self._slots:
            return await asyncio.to_thread(_verified, digest, secret)

    async def _nobodys(self) -> str:
        """A hash that no key has, to be compared where there is none."""
        if not self._nobody:
            self._nobody = (await self._secret())[1]
        return self._nobody

    async def _secret(self) -> tuple[str, str]:
        secret = secrets.token_urlsafe(32)
        async with self._slots:
            return secret, await asyncio.to_thread(_hasher.hash, secret)

    async def _note_use(self, key: Key) -> None:
        """Writes the time of use now and then. Without a place to write to, the key works all the same."""
        now = self._now()
        if now - self._used.get(key.id, 0.0) < _USED_EVERY_S:
            return
        self._used[key.id] = now
        try:
            async with asyncio.timeout(1.0):
                await self._store.write(
                    lambda t: t.execute("UPDATE api_keys SET last_used_at = ? WHERE id = ?", (now, key.id))
                )
        except (CrossplantError, TimeoutError):
            del self._used[key.id]

    def _forget(self, identifier: str) -> None:
        self._ended += 1
        self._generations[identifier] += 1
        for digest, (key, _) in list(self._verified.items()):
            if key.id == identifier:
                del self._verified[digest]

    def _now(self) -> float:
        return self._clock().astimezone(UTC).timestamp()


def _why(reason: str) -> dict[str, str]:
    return {"reason": reason} if reason else {}


def _verified(digest: str, secret: str) -> bool:
    try:
        return _hasher.verify(digest, secret)
    except (Argon2Error, InvalidHashError):
        return False
