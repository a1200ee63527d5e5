"""Administration on the machine itself: keys without a key, for whoever owns the data folder.

A running hub listens on ``hub.sock`` in its data folder (mode 0600, and the peer's user is asked of the
kernel). Without a running hub the store is opened instead. So the first key needs no key.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Callable, Coroutine
from http.client import HTTPException
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from canonical.errors import ConfigError, CrossplantError
from canonical.ports import Store
from gateway import audit, keys
from gateway.backedup import note, of_file
from gateway.keys import Created, Key, KeyConflict, Keys, NewKey
from gateway.unixsocket import SOCKET, Connection, local_name

__all__ = ["backed_up", "create", "listed", "me", "revoke", "rotate", "verified"]

T = TypeVar("T")
_ANSWER_BYTES = 16_000_000


def create(data_dir: Path, wanted: NewKey) -> Created:
    """A new key of the hub with this data folder. Raises ValueError, KeyConflict, ConfigError."""
    return _ask(data_dir, "POST", "/keys", wanted, Created, lambda kept: kept.create(wanted, by=me()))


def listed(data_dir: Path) -> list[Key]:
    """All keys, oldest first. Raises ConfigError."""
    return _ask(data_dir, "GET", "/keys", None, list[Key], lambda kept: kept.list())


def rotate(data_dir: Path, key: str, reason: str = "") -> Created:
    """A new secret for a key, given by id or name. Raises LookupError, ConfigError."""

    def directly(kept: Keys) -> Coroutine[Any, Any, Created]:
        return kept.rotate(key, by=me(), reason=reason)

    return _ask(data_dir, "POST", "/keys/rotate", _about(key, reason), Created, directly)


def revoke(data_dir: Path, key: str, reason: str = "") -> Key:
    """Ends a key, given by id or name. Raises LookupError, ConfigError."""

    def directly(kept: Keys) -> Coroutine[Any, Any, Key]:
        return kept.revoke(key, by=me(), reason=reason)

    return _ask(data_dir, "POST", "/keys/revoke", _about(key, reason), Key, directly)


def _about(key: str, reason: str) -> dict[str, str]:
    return {"key": key, **({"reason": reason} if reason else {})}


def _ask(
    data_dir: Path,
    method: str,
    path: str,
    body: Any,
    answer: type[T],
    directly: Callable[[Keys], Coroutine[Any, Any, T]],
) -> T:
    text = _asked(data_dir, method, path, body)
    if text is None:
        return asyncio.run(_on_the_store(data_dir, directly))
    return msgspec.json.decode(text, type=answer)


def _asked(data_dir: Path, method: str, path: str, body: Any) -> bytes | None:
    """What the hub on this folder answers; None when none runs."""
    connection = Connection(data_dir)
    try:
        connection.connect()
    except (FileNotFoundError, ConnectionRefusedError):
        return None
    try:
        content = None if body is None else msgspec.json.encode(body)
        connection.request(method, path, content, {"Content-Type": "application/json"})
        response = connection.getresponse()
        text = response.read(_ANSWER_BYTES)
    except (OSError, HTTPException) as error:
        raise ConfigError(f"the hub on {data_dir} does not answer at {SOCKET}: {error}") from error
    finally:
        connection.close()
    if response.status >= 300:
        raise _refusal(response.status, text)
    return text


def _refusal(status: int, text: bytes) -> Exception:
    try:
        detail = str(msgspec.json.decode(text)["detail"])
    except (msgspec.DecodeError, KeyError, TypeError):
        detail = f"the hub answered {status}"
    match status:
        case 404:
            return LookupError(detail)
        case 409:
            return KeyConflict(detail)
        case 422:
            return ValueError(detail)
        case _:
            return CrossplantError(detail, code="local")


def backed_up(data_dir: Path, file: Path, head: int) -> None:
    """Writes into the audit that a backup was made: the running hub does it, else this program. Raises
    CrossplantError, LookupError, ValueError, OSError when it is not written."""
    made = of_file(file, head)
    if _asked(data_dir, "POST", "/backups", made) is None:
        note(data_dir, made, me())


def verified(data_dir: Path, seal: str) -> dict[str, Any]:
    """See ``gateway.audit.Audit.verify``. Raises ConfigError while a hub runs: then it is asked itself."""

    async def work() -> dict[str, Any]:
        async with _store(data_dir) as journal:
            return await audit.Audit(data_dir).verify(journal, seal=seal)

    return asyncio.run(work())


async def _on_the_store(data_dir: Path, act: Callable[[Keys], Coroutine[Any, Any, T]]) -> T:
    async with _store(data_dir) as journal:
        return await act(Keys(journal, audit.Audit(data_dir).record))


@contextlib.asynccontextmanager
async def _store(data_dir: Path) -> AsyncIterator[Store]:
    """The store, opened for one act. Raises ConfigError when a hub holds the folder."""
    from router.journal.sqlite import SQLiteJournal

    journal = SQLiteJournal(data_dir, tables=(*keys.TABLES, *audit.TABLES))
    await journal.open()
    try:
        yield journal
    finally:
        await journal.close()


def me() -> str:
    """How an act of whoever runs this program is audited."""
    return local_name(os.getuid())
