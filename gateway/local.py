"""Administration on the machine itself: keys without a key, for whoever owns the data folder.

A running hub listens on ``hub.sock`` in its data folder (mode 0600, and the peer's user is asked of the
kernel). Without a running hub the store is opened instead. So the first key needs no key.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import pwd
import socket
import struct
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from canonical.errors import ConfigError, CrossplantError
from canonical.ports import Store
from gateway import audit, keys
from gateway.backedup import BackedUp, Noted, note, of_file
from gateway.keys import Created, Key, KeyConflict, Keys, NewKey

__all__ = [
    "SOCKET",
    "backed_up",
    "create",
    "listed",
    "listening",
    "me",
    "revoke",
    "rotate",
    "verified",
]

SOCKET = "hub.sock"
T = TypeVar("T")
_ANSWER_S = 30.0
_ANSWER_BYTES = 16_000_000


# ── asking ──────────────────────────────────────────────────────────────────────────────────────


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
    connection = _Connection(data_dir)
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
    return _local_name(os.getuid())


def _local_name(uid: int) -> str:
    """How an act of a local user is audited."""
    try:
        return f"local:{pwd.getpwuid(uid).pw_name}"
    except KeyError:
        return f"local:{uid}"


class _Connection(HTTPConnection):
    """HTTP over the socket in a data folder."""

    def __init__(self, data_dir: Path) -> None:
        super().__init__("localhost", timeout=_ANSWER_S)
        self._data_dir = data_dir

    def connect(self) -> None:
        """Raises FileNotFoundError without a socket, ConnectionRefusedError without a hub behind it."""
        peer = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        peer.settimeout(_ANSWER_S)
        try:
            with _short(self._data_dir) as path:
                peer.connect(path)
        except OSError:
            peer.close()
            raise
        self.sock = peer


@contextlib.contextmanager
def _short(data_dir: Path) -> Iterator[str]:
    """The socket's path by way of the folder's handle: an address has room for 107 bytes only."""
    folder = os.open(data_dir, os.O_PATH | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{folder}/{SOCKET}"
    finally:
        os.close(folder)


# ── answering ───────────────────────────────────────────────────────────────────────────────────


@contextlib.asynccontextmanager
async def listening(kept: Keys, data_dir: Path, noted: Noted | None = None) -> AsyncIterator[None]:
    """Answers on the socket while the context lasts. The data folder must be locked by the caller.

    ``noted`` keeps that somebody made a backup; without it such a thing is not answered.
    """
    import uvicorn

    from gateway.serving import Guarded, Server

    class Local(Guarded):
        """Only for the hub's own user, and for root, who could read the store anyway."""

        def connection_made(self, transport: Any) -> None:
            super().connection_made(transport)
            uid = peer_uid(transport.get_extra_info("socket"))
            self.app_state = {**self.app_state, "actor": _local_name(uid)}
            if uid not in {0, os.getuid()}:
                transport.abort()

    path = data_dir / SOCKET
    path.unlink(missing_ok=True)  # of a hub that was killed; the lock says that none runs
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    with _short(data_dir) as short:
        listener.bind(short)
    path.chmod(0o600)  # nobody can connect before it listens
    listener.listen()
    settings = uvicorn.Config(
        _app(kept, noted),
        http=Local,
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=2,
    )
    server = Server(settings)
    task = asyncio.create_task(server.serve(sockets=[listener]), name="local administration")
    try:
        yield
    finally:
        server.should_exit = True
        await asyncio.gather(task, return_exceptions=True)
        path.unlink(missing_ok=True)


def peer_uid(connected: socket.socket) -> int:
    """The user at the other end of a Unix socket, as the kernel knows it."""
    credentials = connected.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    _, uid, _ = struct.unpack("3i", credentials)
    return int(uid)


async def _act(kept: Keys, method: str, path: str, body: bytes, by: str) -> Any:
    """What one request asks for. Raises LookupError, KeyConflict, ValueError, KeyError."""
    if method == "GET":
        return await kept.list()
    if path == "/keys":
        return await kept.create(msgspec.json.decode(body, type=NewKey), by=by)
    asked = msgspec.json.decode(body, type=dict[str, str])
    act = kept.rotate if path == "/keys/rotate" else kept.revoke
    return await act(asked["key"], by=by, reason=asked.get("reason", ""))


def _app(kept: Keys, noted: Noted | None) -> Any:
    """The few requests that the socket answers."""
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.routing import Route

    from gateway.limits import Limits
    from gateway.problems import Problem, install

    async def handle(request: Request) -> Response:
        by = str(request.scope["state"]["actor"])
        try:
            found = await _act(kept, request.method, request.url.path, await request.body(), by)
        except (ValueError, KeyError) as error:
            raise Problem(422, "invalid", str(error)) from error
        return Response(msgspec.json.encode(found), media_type="application/json")

    async def note(request: Request) -> Response:
        by = str(request.scope["state"]["actor"])
        try:
            made = msgspec.json.decode(await request.body(), type=BackedUp)
        except msgspec.DecodeError as error:
            raise Problem(422, "invalid", str(error)) from error
        if noted is not None:
            await noted(made, by)
        return Response(status_code=204)

    told = [] if noted is None else [Route("/backups", note, methods=["POST"])]
    app = Starlette(
        routes=[
            *told,
            Route("/keys", handle, methods=["GET", "POST"]),
            Route("/keys/rotate", handle, methods=["POST"]),
            Route("/keys/revoke", handle, methods=["POST"]),
        ]
    )
    app.add_middleware(Limits)
    install(app)
    return app
