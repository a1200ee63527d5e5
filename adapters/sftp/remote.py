"""A folder on an SFTP server: connects when it is needed, and anew after a failure."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import TypeVar

import paramiko

from adapters.sftp.client import Client
from adapters.sftp.config import SftpConfig
from adapters.sftp.faults import is_answer
from adapters.sftp.login import load_key
from adapters.sftp.session import Session
from canonical.errors import PermanentError
from canonical.exchange.folder import Entry, Exists, NotFound

__all__ = ["RemoteFolder"]

T = TypeVar("T")


class RemoteFolder:
    """See ``canonical.exchange.folder.Folder``. ``makes``: folders that ``entries`` makes when missing."""

    def __init__(self, settings: SftpConfig, name: str, makes: Sequence[str] = ()) -> None:
        self._settings, self._name, self._makes = settings, name, makes
        self._key: paramiko.PKey | None = None
        self._made = False
        self._session: Session | None = None
        self._turn = asyncio.Lock()

    async def prepare(self) -> None:
        """Reads our key; to be called first. Raises ConfigError when it cannot be used."""
        self._key = await asyncio.to_thread(load_key, self._settings)

    async def entries(self) -> Sequence[Entry]:
        root = self._settings.folder
        found = await self._do(lambda client, tick: client.scan(root, tick), root)
        if not self._made:
            for folder in self._makes:
                await self._make(self._path(folder))
            self._made = True
        return found

    async def _make(self, path: str) -> None:
        await self._do(lambda client, _: client.make(path), path)

    async def stat(self, path: str) -> Entry | None:
        at = self._path(path)
        return await self._do(lambda client, _: client.look(at), at)

    async def read(self, path: str, limit_bytes: int) -> bytes:
        at = self._path(path)
        return await self._do(lambda client, tick: _read(client, at, limit_bytes, tick), at)

    async def write(self, path: str, content: bytes) -> None:
        at = self._path(path)
        await self._do(lambda client, tick: client.store(at, content, tick), at)

    async def move(self, path: str, to: str, *, replace: bool = False) -> None:
        at, target = self._path(path), self._path(to)
        if replace:
            await self._do(lambda client, _: client.posix_rename(at, target), target)
        else:
            await self._do(lambda client, _: _rename(client, at, target), target)

    async def remove(self, path: str) -> None:
        at = self._path(path)
        try:
            await self._do(lambda client, _: client.remove(at), at)
        except NotFound:
            return

    async def close(self) -> None:
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    def _path(self, path: str) -> str:
        root = self._settings.folder
        return path if path.startswith("/") or root == "." else f"{root.rstrip('/')}/{path}"

    async def _do(self, work: Callable[[Client, Callable[[], None]], T], path: str) -> T:
        async with self._turn:
            session = self._session
            if session is None or not session.alive:
                if session is not None:
                    session.abort()
                self._made, self._session = False, None
                session = await Session.connect(self._settings, self._key, self._name)
                self._session = session
            tick = session.tick
            try:
                return await session.run(lambda client: work(client, tick), path)
            except NotFound:
                self._made = False
                raise


def _read(client: Client, path: str, limit_bytes: int, tick: Callable[[], None]) -> bytes:
    found = client.look(path)
    if found is None:
        raise FileNotFoundError
    if found.kind != "file":  # the server would follow a link wherever it leads
        raise PermanentError(f"{path} is no regular file", code="no_file")
    return client.fetch(path, limit_bytes, tick)


def _rename(client: Client, path: str, to: str) -> None:
    """To a free name. Some servers overwrite, others answer a plain failure: so it is looked at, too."""
    if client.look(to) is not None:
        raise Exists(f"{to} is there already")
    try:
        client.rename(path, to)
    except OSError as error:
        if is_answer(error) and client.look(to) is not None:
            raise Exists(f"{to} is there already") from error
        raise
