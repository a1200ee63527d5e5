"""A folder of this machine, or a mounted share, behind one thread: a share can hang."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from adapters.files.watch import Watch
from canonical.errors import CrossplantError, PermanentError, Rejected, TransientError
from canonical.exchange.folder import Denied, Entry, Exists, NotFound, kind_of
from canonical.exchange.worker import Stalled, Worker

__all__ = ["LocalFolder"]

T = TypeVar("T")

_BLOCK_BYTES = 1_048_576
_FLAGS = os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK  # a pipe that somebody put there must not stop us
_NO_LINKS = {errno.EPERM, errno.ENOTSUP, errno.ENOSYS, errno.EMLINK, errno.EINVAL}


class LocalFolder:
    """See ``canonical.exchange.folder.Folder``. ``makes``: folders that ``entries`` makes when missing."""

    def __init__(
        self, root: Path, name: str, *, stall_s: float, makes: Sequence[str] = (), watch: Watch | None = None
    ) -> None:
        self._root, self._name, self._stall_s = root, name, stall_s
        self._makes, self._watch = makes, watch
        self._worker: Worker | None = None
        self._hung: Worker | None = None

    async def entries(self) -> Sequence[Entry]:
        return await self._do(self._entries)

    async def stat(self, path: str) -> Entry | None:
        return await self._do(lambda: _entry(self._root / path))

    async def read(self, path: str, limit_bytes: int) -> bytes:
        return await self._do(lambda: _read(self._root / path, limit_bytes))

    async def write(self, path: str, content: bytes) -> None:
        await self._do(lambda: _write(self._root / path, content))

    async def move(self, path: str, to: str, *, replace: bool = False) -> None:
        await self._do(lambda: _move(self._root / path, self._root / to, replace=replace))

    async def remove(self, path: str) -> None:
        await self._do(lambda: (self._root / path).unlink(missing_ok=True))

    async def close(self) -> None:
        worker, self._worker = self._worker, None
        if worker is not None:
            try:
                if self._watch is not None:
                    await worker.run(self._watch.drop, self._stall_s)
            except Stalled:
                pass  # the thread is a daemon
            finally:
                worker.close()

    def _entries(self) -> list[Entry]:
        try:
            with os.scandir(self._root) as found:
                entries = [entry for each in found if (entry := _entry(Path(each.path))) is not None]
        except FileNotFoundError:
            if self._watch is not None:
                self._watch.drop()
            raise
        for folder in self._makes:
            (self._root / folder).mkdir(parents=True, exist_ok=True)
        if self._watch is not None:
            self._watch.keep(self._root)
        return entries

    async def _do(self, work: Callable[[], T]) -> T:
        if self._hung is not None and self._hung.busy:
            raise self._timeout()
        self._hung = None
        if self._worker is None:
            self._worker = Worker(f"files {self._name}")
        try:
            return await self._worker.run(work, self._stall_s)
        except Stalled as error:
            self._worker.close()
            self._hung, self._worker = self._worker, None
            raise self._timeout() from error
        except OSError as error:
            raise _explained(error, self._root) from error

    def _timeout(self) -> TransientError:
        return TransientError(
            f"{self._root}: no answer from the file system within {self._stall_s:g} s; is its server away?",
            code="timeout",
            outage=True,
        )


def _entry(path: Path) -> Entry | None:
    try:
        found = path.lstat()
    except FileNotFoundError:
        return None
    return _described(path.name, found)


def _described(name: str, found: os.stat_result) -> Entry:
    return Entry(name=name, size_bytes=found.st_size, mtime_ns=found.st_mtime_ns, kind=kind_of(found.st_mode))


def _read(path: Path, limit_bytes: int) -> bytes:
    with os.fdopen(os.open(path, os.O_RDONLY | _FLAGS), "rb") as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise PermanentError(f"{path} is no regular file", code="no_file")
        return file.read(limit_bytes + 1)


def _write(path: Path, content: bytes) -> None:
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | _FLAGS, 0o666)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise OSError(error.errno, error.strerror, str(_missing(path))) from error
    with os.fdopen(handle, "wb") as file:
        for at in range(0, len(content), _BLOCK_BYTES):
            file.write(content[at : at + _BLOCK_BYTES])
        file.flush()
        os.fsync(file.fileno())


def _missing(path: Path) -> Path:
    """The outermost folder of the path that is not there: the one to make."""
    absent = [folder for folder in path.parents if not folder.is_dir()]
    return absent[-1] if absent else path.parent


def _move(path: Path, to: Path, *, replace: bool) -> None:
    if replace:
        path.replace(to)
    else:
        _move_to_free(path, to)
    for folder in {path.parent, to.parent}:
        _sync(folder)


def _move_to_free(path: Path, to: Path) -> None:
    """``rename`` would overwrite. A link cannot; where there are none, an empty file holds the place."""
    try:
        os.link(path, to, follow_symlinks=False)
    except FileExistsError as error:
        raise Exists(f"{to} is there already") from error
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        try:
            os.close(os.open(to, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666))
        except FileExistsError as taken:
            raise Exists(f"{to} is there already") from taken
        path.replace(to)
    else:
        path.unlink()


def _sync(folder: Path) -> None:
    """Makes a rename durable, where the file system has that."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno not in {errno.EINVAL, errno.ENOTSUP}:
            raise
    finally:
        os.close(handle)


def _explained(error: OSError, root: Path) -> CrossplantError:
    """The outcome that an error of the operating system stands for."""
    where, why = error.filename or root, os.strerror(error.errno or 0)
    match error.errno:
        case errno.ENOENT | errno.ENOTDIR:
            return NotFound(f"{where} is not there: make it, or correct `path`")
        case errno.EACCES | errno.EPERM | errno.EROFS:
            return Denied(f"{where}: {why}; give the hub's user the right to read, write and rename there")
        case errno.EXDEV:
            return PermanentError(
                f"{where} is on another file system than {root}, so nothing can be renamed into it; "
                "choose a folder on the same one",
                code="other_file_system",
            )
        case errno.ELOOP | errno.EISDIR | errno.ENAMETOOLONG | errno.ENXIO:
            return Rejected(f"{where}: {why}", code="no_file")
        case errno.ENOSPC | errno.EDQUOT:
            return TransientError(f"{where}: {why}", code="disk_full", outage=True)
        case _:
            return TransientError(f"{where}: {why}", code="io_error", outage=True)
