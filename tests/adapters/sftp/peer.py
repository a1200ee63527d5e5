"""An SFTP server in this process whose algorithms, accounts and faults a test chooses."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import asyncssh

from adapters.sftp.config import SftpConfig

__all__ = ["PASSWORD", "Peer", "peer"]

PASSWORD = "made up"
Fault = Callable[[str, str], None]


class Peer:
    """``fault(step, path)`` is called before each step of a session and may raise; ``after`` when it is
    done and not yet answered."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.key = asyncssh.generate_private_key("ssh-ed25519")
        self.fault: Fault = lambda step, path: None
        self.after: Fault = lambda step, path: None
        self.logins = 0
        self.port = 0
        self.connections: list[asyncssh.SSHServerConnection] = []

    @property
    def host_key(self) -> str:
        """As `ssh-keyscan` shows it."""
        return self.key.export_public_key().decode().strip()

    def cut(self) -> None:
        """Ends all connections without a word."""
        for connection in self.connections:
            connection.abort()

    def settings(self, **more: Any) -> SftpConfig:
        """Short times, the right key and password; the rest overrides."""
        return SftpConfig.model_validate(
            {
                "url": f"sftp://edi@127.0.0.1:{self.port}/",
                "host_key": self.host_key,
                "password": PASSWORD,
                "connect_timeout": "5s",
                "timeout": "2s",
                "max_backoff": "1s",
                "pick_up": {"every": "200ms", "ready": {"kind": "renamed"}},
                **more,
            }
        )


class _Accounts(asyncssh.SSHServer):
    def __init__(self, peer: Peer) -> None:
        self._peer = peer

    def connection_made(self, conn: asyncssh.SSHServerConnection) -> None:
        self._peer.connections.append(conn)

    def password_auth_supported(self) -> bool:
        return True

    def validate_password(self, username: str, password: str) -> bool:
        self._peer.logins += 1
        return (username, password) == ("edi", PASSWORD)


class _Files(asyncssh.SFTPServer):
    def __init__(self, peer: Peer, chan: asyncssh.SSHServerChannel[bytes]) -> None:
        super().__init__(chan, chroot=str(peer.folder).encode())
        self._peer = peer
        peer.fault("session", "")

    @contextmanager
    def _step(self, step: str, path: bytes) -> Iterator[None]:
        self._peer.fault(step, path.decode())
        yield
        self._peer.after(step, path.decode())

    def scandir(self, path: bytes) -> Any:
        self._peer.fault("scandir", path.decode())
        return super().scandir(path)

    def lstat(self, path: bytes) -> Any:
        with self._step("lstat", path):
            return super().lstat(path)

    def open(self, path: bytes, pflags: int, attrs: asyncssh.SFTPAttrs) -> Any:
        with self._step("open", path):
            return super().open(path, pflags, attrs)

    def write(self, file_obj: object, offset: int, data: bytes) -> Any:
        with self._step("write", b""):
            return super().write(file_obj, offset, data)

    def rename(self, oldpath: bytes, newpath: bytes) -> Any:
        with self._step("rename", newpath):
            return super().rename(oldpath, newpath)

    def posix_rename(self, oldpath: bytes, newpath: bytes) -> Any:
        with self._step("posix_rename", newpath):
            return super().posix_rename(oldpath, newpath)


@asynccontextmanager
async def peer(folder: Path, *, kex: Sequence[str] = ()) -> Any:
    """A running peer that serves ``folder`` as its root."""
    served = Peer(folder)
    options: dict[str, Any] = {"kex_algs": list(kex)} if kex else {}
    listener = await asyncssh.create_server(
        lambda: _Accounts(served),
        "127.0.0.1",
        0,
        server_host_keys=[served.key],
        sftp_factory=lambda chan: _Files(served, chan),
        **options,
    )
    served.port = listener.get_port()
    try:
        yield served
    finally:
        served.cut()
        listener.close()
        await listener.wait_closed()
