"""What a running hub answers on the socket in its data folder: for its own user and root, without a key."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec

from gateway.backedup import BackedUp, Noted
from gateway.keys import Keys, NewKey
from gateway.unixsocket import SOCKET, local_name, peer_uid, short

__all__ = ["listening"]


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
            self.app_state = {**self.app_state, "actor": local_name(uid)}
            if uid not in {0, os.getuid()}:
                transport.abort()

    path = data_dir / SOCKET
    path.unlink(missing_ok=True)  # of a hub that was killed; the lock says that none runs
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    with short(data_dir) as address:
        listener.bind(address)
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
