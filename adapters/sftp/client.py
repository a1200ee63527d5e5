"""What we ask of an SFTP server beyond paramiko's own calls. All of it blocks."""

from __future__ import annotations

import stat
from collections.abc import Callable, Iterator
from typing import Any

import paramiko
from paramiko.sftp import CMD_CLOSE, CMD_HANDLE, CMD_NAME, CMD_OPEN, CMD_OPENDIR, CMD_READDIR, SFTP_FLAG_READ
from paramiko.sftp_attr import SFTPAttributes

from canonical.exchange.folder import Entry, kind_of

__all__ = ["Client"]

_BLOCK_BYTES = 32_768  # servers must take 34,000 (draft-ietf-secsh-filexfer-02, 3)
_WINDOW_BLOCKS = 32  # read requests under way; OpenSSH's own client has 64
_MOST_ENTRIES = 1_000_000


class _File(paramiko.SFTPFile):
    """Sends its read requests from the calling thread.

    paramiko sends them from a thread of their own, which ends with a traceback, or spins for good, when
    the connection does (paramiko #2379). A window of requests is small enough never to block.
    """

    def _start_prefetch(self, chunks: Any, max_concurrent_requests: int | None = None) -> None:
        self._prefetching, self._prefetch_done = True, False
        self._prefetch_thread(chunks, None)  # type: ignore[attr-defined]


class Client(paramiko.SFTPClient):
    """An SFTP session. ``tick`` is called whenever a part of a long call is done."""

    def scan(self, path: str, tick: Callable[[], None]) -> list[Entry]:
        """What is in a folder. A name that is not UTF-8 comes with surrogates in it.

        ``listdir_attr`` raises UnicodeDecodeError for such a name, and hides all the others.
        """
        handle = self._ask(CMD_HANDLE, CMD_OPENDIR, path).get_binary()
        try:
            return [entry for page in self._pages(handle, tick) for entry in page]
        finally:
            self._request(CMD_CLOSE, handle)  # type: ignore[attr-defined]

    def _pages(self, handle: bytes, tick: Callable[[], None]) -> Iterator[list[Entry]]:
        count = 0
        while count < _MOST_ENTRIES:
            try:
                message = self._ask(CMD_NAME, CMD_READDIR, handle)
            except EOFError:
                return
            page = []
            for _ in range(message.get_int()):
                name = message.get_string().decode(errors="surrogateescape")
                message.get_string()  # as `ls -l` would show it
                attributes = SFTPAttributes._from_msg(message)  # type: ignore[attr-defined]
                if name not in {".", ".."}:
                    page.append(described(name, attributes))
            count += len(page)
            tick()
            yield page
        raise paramiko.SFTPError(f"the folder has more than {_MOST_ENTRIES} names")

    def look(self, path: str) -> Entry | None:
        """What has this name, links not followed; None when nothing has."""
        try:
            return described(path.rpartition("/")[2], self.lstat(path))
        except FileNotFoundError:
            return None

    def fetch(self, path: str, limit_bytes: int, tick: Callable[[], None]) -> bytes:
        """The content of a file, cut after ``limit_bytes`` + 1; shorter when the file got shorter."""
        handle = self._ask(CMD_HANDLE, CMD_OPEN, path, SFTP_FLAG_READ, SFTPAttributes()).get_binary()
        content = bytearray()
        with _File(self, handle, "r", -1) as file:
            size = min(file.stat().st_size or 0, limit_bytes + 1)
            blocks = [(at, min(_BLOCK_BYTES, size - at)) for at in range(0, size, _BLOCK_BYTES)]
            for first in range(0, len(blocks), _WINDOW_BLOCKS):
                for part in file.readv(blocks[first : first + _WINDOW_BLOCKS]):
                    content += part
                    tick()
        return bytes(content)

    def store(self, path: str, content: bytes, tick: Callable[[], None]) -> None:
        """Writes a file, block by block: with pipelining paramiko would not see a block that failed."""
        with self.open(path, "wb") as file:
            for at in range(0, len(content), _BLOCK_BYTES):
                file.write(content[at : at + _BLOCK_BYTES])
                tick()

    def make(self, path: str) -> None:
        """Makes a folder and those above it, as far as they are missing."""
        parts = path.split("/")
        for end in range(1, len(parts) + 1):
            folder = "/".join(parts[:end])
            if folder in {"", "."} or self.look(folder) is not None:
                continue
            self.mkdir(folder)

    def _ask(self, expected: int, command: int, *arguments: Any) -> paramiko.Message:
        kind, message = self._request(command, *arguments)  # type: ignore[attr-defined]
        if kind != expected or not isinstance(message, paramiko.Message):
            raise paramiko.SFTPError(f"answer {kind} to request {command}")
        return message


def described(name: str, attributes: SFTPAttributes) -> Entry:
    """An entry from what the server says; what it leaves out counts as a file, as 0 and as never."""
    mode = attributes.st_mode
    return Entry(
        name=name,
        size_bytes=attributes.st_size or 0,
        mtime_ns=(attributes.st_mtime or 0) * 1_000_000_000,
        kind=kind_of(mode) if mode is not None and stat.S_IFMT(mode) else "file",
    )
