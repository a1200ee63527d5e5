"""The socket of a data folder: where it lies, how it is reached, and who is at its other end."""

from __future__ import annotations

import contextlib
import os
import pwd
import socket
import struct
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path

__all__ = ["SOCKET", "Connection", "local_name", "peer_uid", "short"]

SOCKET = "hub.sock"
_ANSWER_S = 30.0


def local_name(uid: int) -> str:
    """How an act of a local user is audited."""
    try:
        return f"local:{pwd.getpwuid(uid).pw_name}"
    except KeyError:
        return f"local:{uid}"


class Connection(HTTPConnection):
    """HTTP over the socket in a data folder."""

    def __init__(self, data_dir: Path) -> None:
        super().__init__("localhost", timeout=_ANSWER_S)
        self._data_dir = data_dir

    def connect(self) -> None:
        """Raises FileNotFoundError without a socket, ConnectionRefusedError without a hub behind it."""
        peer = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        peer.settimeout(_ANSWER_S)
        try:
            with short(self._data_dir) as path:
                peer.connect(path)
        except OSError:
            peer.close()
            raise
        self.sock = peer


@contextlib.contextmanager
def short(data_dir: Path) -> Iterator[str]:
    """The socket's path by way of the folder's handle: an address has room for 107 bytes only."""
    folder = os.open(data_dir, os.O_PATH | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{folder}/{SOCKET}"
    finally:
        os.close(folder)


def peer_uid(connected: socket.socket) -> int:
    """The user at the other end of a Unix socket, as the kernel knows it."""
    credentials = connected.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    _, uid, _ = struct.unpack("3i", credentials)
    return int(uid)
