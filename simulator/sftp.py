"""The SFTP server of partners and plants: asyncssh in this process, an account with a key and a root each."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

import asyncssh

from simulator.serving import LOOPBACK

__all__ = ["SftpServer"]

_ALGORITHM: Final = "ssh-ed25519"


class SftpServer:
    """``accounts``: user name → the folder that is all the user sees. Host key and user keys are new for
    every run; ``port`` is known once it is open."""

    def __init__(self, accounts: Mapping[str, Path]) -> None:
        self._accounts = accounts
        self._host_key = asyncssh.generate_private_key(_ALGORITHM)
        self._keys = {name: asyncssh.generate_private_key(_ALGORITHM, comment=name) for name in accounts}
        self._server: asyncssh.SSHAcceptor | None = None
        self._connections: set[asyncssh.SSHServerConnection] = set()
        self.port = 0

    @property
    def host_key(self) -> str:
        """The line by which clients know the server, as ``ssh-keyscan`` shows it."""
        return self._host_key.export_public_key().decode().strip()

    def key(self, name: str) -> str:
        """The private key that the account's owner gave to the hub, OpenSSH text."""
        return self._keys[name].export_private_key().decode()

    def url(self, name: str) -> str:
        """Where an account's folders are: the folder's name goes behind a slash."""
        return f"sftp://{name}@{LOOPBACK}:{self.port}"

    async def open(self) -> None:
        """Listens on a port that the system chooses."""
        self._server = await asyncssh.listen(
            LOOPBACK,
            0,
            server_host_keys=[self._host_key],
            server_factory=lambda: _Login(self._keys, self._connections),
            sftp_factory=lambda channel: _Rooted(channel, self._accounts),
            encoding=None,
            allow_scp=False,
            agent_forwarding=False,
        )
        self.port = self._server.get_port()

    async def close(self) -> None:
        """Ends all connections and stops listening; safe to call twice."""
        if self._server is not None:
            self._server.close()
            for connection in list(self._connections):
                connection.abort()
            await self._server.wait_closed()


class _Login(asyncssh.SSHServer):
    """Lets in who has the account's key."""

    def __init__(
        self, keys: Mapping[str, asyncssh.SSHKey], connections: set[asyncssh.SSHServerConnection]
    ) -> None:
        self._keys, self._connections = keys, connections
        self._connection: asyncssh.SSHServerConnection | None = None

    def connection_made(self, conn: asyncssh.SSHServerConnection) -> None:
        self._connection = conn
        self._connections.add(conn)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._connection is not None:
            self._connections.discard(self._connection)

    def public_key_auth_supported(self) -> bool:
        return True

    def validate_public_key(self, username: str, key: asyncssh.SSHKey) -> bool:
        known = self._keys.get(username)
        return known is not None and known.public_data == key.public_data


class _Rooted(asyncssh.SFTPServer):
    """Shows an account its folder and nothing else."""

    def __init__(self, channel: asyncssh.SSHServerChannel[bytes], accounts: Mapping[str, Path]) -> None:
        name = channel.get_extra_info("username")
        super().__init__(channel, chroot=str(accounts[name]).encode())
