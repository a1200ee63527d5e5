"""A disk that loses its cache when the power fails: a file system (FUSE) over a folder.

What was written and not synced lies in this program's memory, but for some pages by chance, as a disk writes
its cache back in any order. SIGKILL is the power cut. Names (create, rename, unlink) are kept at once.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import random
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, Self

from tests.servers.process import Process
from tests.servers.required import program

if TYPE_CHECKING:

    class Operations: ...
else:
    try:
        from mfusepy import Operations
    except (ImportError, OSError):  # no libfuse: the tests that need it are not run
        Operations = object

__all__ = ["LossyDisk", "StartLossyDisk"]

PAGE_BYTES = 4096


@dataclass(slots=True, kw_only=True)
class LossyDisk:
    """The file system at ``mount``; what survives lies in ``backing``."""

    mount: Path
    backing: Path
    process: Process

    @classmethod
    def create(cls, mount: Path, backing: Path, *, written_back: float = 0.2, seed: int = 0) -> Self:
        """A disk, not started yet. ``written_back``: the share of pages that is kept without being synced."""
        for folder in (mount, backing):
            folder.mkdir(parents=True, exist_ok=True)
        argv = [sys.executable, "-m", "tests.servers.lossydisk", str(backing), str(mount)]
        argv += ["--written-back", str(written_back), "--seed", str(seed)]
        log = backing.with_suffix(".log")
        return cls(mount=mount, backing=backing, process=Process(argv=argv, out_path=log, log_path=log))

    def start(self) -> None:
        """Mounts it, also again after ``lose_power``."""
        self.process.start()
        self.process.until(lambda: os.path.ismount(self.mount) or None, "mounted")

    def lose_power(self) -> None:
        """At once; who has files open gets errors from now on."""
        self.process.kill9()

    def unmount(self) -> None:
        """Frees the folder, whoever has files open."""
        unmount = [program("fusermount3"), "-u", "-z", str(self.mount)]
        subprocess.run(unmount, check=False, capture_output=True, timeout=30)
        self.process.end()


class StartLossyDisk(Protocol):
    """Mounts a lossy disk; the fixture unmounts it."""

    def __call__(self, mount: Path, backing: Path, *, written_back: float = 0.2) -> LossyDisk: ...


@dataclass(slots=True)
class _File:
    """A file as who reads it sees it, and what of it is not on the disk yet."""

    data: bytearray
    dirty: set[int] = field(default_factory=set)


class _Lossy(Operations):
    use_ns = True

    def __init__(self, backing: Path, written_back: float, chance: random.Random) -> None:
        self._root, self._written_back, self._chance = str(backing), written_back, chance
        self._files: dict[str, _File] = {}

    def _at(self, path: str) -> str:
        return self._root + path

    # ── names ────────────────────────────────────────────────────────────────────────────────────

    def getattr(self, path: str, fh: int | None = None) -> dict[str, Any]:
        found = os.lstat(self._at(path))
        names = ("st_mode", "st_nlink", "st_uid", "st_gid", "st_size")
        stat: dict[str, Any] = {name: getattr(found, name) for name in names}
        stat |= {f"st_{at}": getattr(found, f"st_{at}_ns") for at in ("atime", "mtime", "ctime")}
        if path in self._files:
            stat["st_size"] = len(self._files[path].data)
        return stat

    def readdir(self, path: str, fh: int) -> list[str]:
        return [".", "..", *os.listdir(self._at(path))]  # noqa: PTH208 - as FUSE wants it

    def mkdir(self, path: str, mode: int) -> int:
        os.mkdir(self._at(path), mode)  # noqa: PTH102
        return 0

    def rmdir(self, path: str) -> int:
        os.rmdir(self._at(path))  # noqa: PTH106
        return 0

    def mknod(self, path: str, mode: int, dev: int) -> int:
        os.mknod(self._at(path), mode, dev)
        return 0

    def unlink(self, path: str) -> int:
        os.unlink(self._at(path))  # noqa: PTH108
        self._files.pop(path, None)
        return 0

    def rename(self, old: str, new: str, flags: int = 0) -> int:
        os.replace(self._at(old), self._at(new))  # noqa: PTH105
        self._files.pop(new, None)
        if old in self._files:
            self._files[new] = self._files.pop(old)
        return 0

    def chmod(self, path: str, mode: int) -> int:
        os.chmod(self._at(path), mode)  # noqa: PTH101
        return 0

    def chown(self, path: str, uid: int, gid: int) -> int:
        os.chown(self._at(path), uid, gid)
        return 0

    def utimens(self, path: str, times: tuple[int, int] | None = None) -> int:
        return 0

    def statfs(self, path: str) -> dict[str, int]:
        found = os.statvfs(self._root)
        names = ("f_bavail", "f_bfree", "f_blocks", "f_bsize", "f_favail", "f_ffree", "f_files", "f_frsize")
        return {name: getattr(found, name) for name in names}

    # ── content ──────────────────────────────────────────────────────────────────────────────────

    def open(self, path: str, flags: int) -> int:
        os.close(os.open(self._at(path), flags & ~(os.O_TRUNC | os.O_APPEND)))
        return 0

    def create(self, path: str, mode: int, fi: object = None) -> int:
        os.close(os.open(self._at(path), os.O_CREAT | os.O_RDWR, mode))
        self._files.pop(path, None)
        return 0

    def read(self, path: str, size: int, offset: int, fh: int) -> bytes:
        return bytes(self._file(path).data[offset : offset + size])

    def write(self, path: str, data: bytes, offset: int, fh: int) -> int:
        file = self._file(path)
        if len(file.data) < offset:
            file.data.extend(bytes(offset - len(file.data)))
        file.data[offset : offset + len(data)] = data
        for page in range(offset // PAGE_BYTES, (offset + len(data) - 1) // PAGE_BYTES + 1):
            if self._chance.random() < self._written_back:
                self._keep(path, file, [page])
            else:
                file.dirty.add(page)
        return len(data)

    def truncate(self, path: str, length: int, fh: int | None = None) -> int:
        file = self._file(path)
        if length < len(file.data):
            del file.data[length:]
        else:
            file.data.extend(bytes(length - len(file.data)))
        return 0

    def fsync(self, path: str, datasync: int, fh: int) -> int:
        file = self._file(path)
        self._keep(path, file, sorted(file.dirty))
        with open(self._at(path), "rb+") as kept:  # noqa: PTH123
            kept.truncate(len(file.data))
        return 0

    def flush(self, path: str, fh: int) -> int:
        return 0

    def _file(self, path: str) -> _File:
        if path not in self._files:
            self._files[path] = _File(bytearray(Path(self._at(path)).read_bytes()))
        return self._files[path]

    def _keep(self, path: str, file: _File, pages: list[int]) -> None:
        """The backing folder's own disk need not be synced: only this program loses its power."""
        with open(self._at(path), "rb+") as kept:  # noqa: PTH123
            for page in pages:
                kept.seek(page * PAGE_BYTES)
                kept.write(file.data[page * PAGE_BYTES : (page + 1) * PAGE_BYTES])
                file.dirty.discard(page)


def main() -> None:
    """Serves until it is unmounted or killed."""
    from mfusepy import FUSE  # type: ignore[import-untyped]

    parser = argparse.ArgumentParser()
    parser.add_argument("backing", type=Path)
    parser.add_argument("mount", type=Path)
    parser.add_argument("--written-back", type=float, required=True)
    parser.add_argument("--seed", type=int, required=True)
    options = parser.parse_args()
    disk = _Lossy(options.backing, options.written_back, random.Random(options.seed))
    with contextlib.suppress(KeyboardInterrupt):
        FUSE(disk, str(options.mount), foreground=True, nothreads=True)


if __name__ == "__main__":
    main()
