"""A disk that fails as it is told: a file system (FUSE) over a folder, whose mood is a word in a file.

``well``; ``broken``: reads, writes, syncs and new names fail with an I/O error (what the kernel has in memory
is still read); ``ro``: it has become read-only. What was written before stays.
"""

from __future__ import annotations

import argparse
import contextlib
import errno
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from tests.servers.lossydisk import Operations
from tests.servers.process import Process
from tests.servers.required import program

__all__ = ["FaultyDisk", "Mood"]

Mood = Literal["well", "broken", "ro"]
_CODES = {"broken": errno.EIO, "ro": errno.EROFS}


@dataclass(slots=True, kw_only=True)
class FaultyDisk:
    """The file system at ``mount`` over ``backing``."""

    mount: Path
    backing: Path
    process: Process

    @classmethod
    def create(cls, mount: Path, backing: Path) -> FaultyDisk:
        """A disk that is well, not started yet."""
        for folder in (mount, backing):
            folder.mkdir(parents=True, exist_ok=True)
        argv = [sys.executable, "-m", "tests.servers.faultydisk", str(backing), str(mount)]
        log = backing.with_suffix(".log")
        disk = cls(mount=mount, backing=backing, process=Process(argv=argv, out_path=log, log_path=log))
        disk.be("well")
        return disk

    def be(self, mood: Mood) -> None:
        """From the next call on."""
        new = self._mood.with_suffix(".new")
        new.write_text(mood)
        new.rename(self._mood)

    @property
    def _mood(self) -> Path:
        return self.backing.with_suffix(".mood")

    def start(self) -> None:
        """Mounts it."""
        self.process.start()
        self.process.until(lambda: os.path.ismount(self.mount) or None, "mounted")

    def unmount(self) -> None:
        """Frees the folder, whoever has files open."""
        unmount = [program("fusermount3"), "-u", "-z", str(self.mount)]
        subprocess.run(unmount, check=False, capture_output=True, timeout=30)
        self.process.end()


class _Faulty(Operations):
    use_ns = True

    def __init__(self, backing: Path) -> None:
        self._root, self._mood = str(backing), backing.with_suffix(".mood")

    def _at(self, path: str) -> str:
        return self._root + path

    def _writes(self) -> None:
        mood = self._mood.read_text()
        if mood != "well":
            raise OSError(_CODES[mood], os.strerror(_CODES[mood]))

    def _reads(self) -> None:
        if self._mood.read_text() == "broken":
            raise OSError(errno.EIO, os.strerror(errno.EIO))

    # ── names ────────────────────────────────────────────────────────────────────────────────────

    def getattr(self, path: str, fh: int | None = None) -> dict[str, Any]:
        found = os.lstat(self._at(path))
        names = ("st_mode", "st_nlink", "st_uid", "st_gid", "st_size")
        stat: dict[str, Any] = {name: getattr(found, name) for name in names}
        return stat | {f"st_{at}": getattr(found, f"st_{at}_ns") for at in ("atime", "mtime", "ctime")}

    def readdir(self, path: str, fh: int) -> list[str]:
        return [".", "..", *os.listdir(self._at(path))]  # noqa: PTH208 - as FUSE wants it

    def mkdir(self, path: str, mode: int) -> int:
        self._writes()
        os.mkdir(self._at(path), mode)  # noqa: PTH102
        return 0

    def mknod(self, path: str, mode: int, dev: int) -> int:
        self._writes()
        os.mknod(self._at(path), mode, dev)
        return 0

    def rmdir(self, path: str) -> int:
        self._writes()
        os.rmdir(self._at(path))  # noqa: PTH106
        return 0

    def unlink(self, path: str) -> int:
        self._writes()
        os.unlink(self._at(path))  # noqa: PTH108
        return 0

    def rename(self, old: str, new: str, flags: int = 0) -> int:
        self._writes()
        os.replace(self._at(old), self._at(new))  # noqa: PTH105
        return 0

    def chmod(self, path: str, mode: int) -> int:
        self._writes()
        os.chmod(self._at(path), mode)  # noqa: PTH101
        return 0

    def chown(self, path: str, uid: int, gid: int) -> int:
        self._writes()
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
        if flags & (os.O_WRONLY | os.O_RDWR) and flags & (os.O_TRUNC | os.O_CREAT):
            self._writes()
        return os.open(self._at(path), flags & ~os.O_APPEND)

    def create(self, path: str, mode: int, fi: object = None) -> int:
        self._writes()
        return os.open(self._at(path), os.O_CREAT | os.O_RDWR, mode)

    def read(self, path: str, size: int, offset: int, fh: int) -> bytes:
        self._reads()
        return os.pread(fh, size, offset)

    def write(self, path: str, data: bytes, offset: int, fh: int) -> int:
        self._writes()
        return os.pwrite(fh, data, offset)

    def truncate(self, path: str, length: int, fh: int | None = None) -> int:
        self._writes()
        os.truncate(self._at(path), length)
        return 0

    def fsync(self, path: str, datasync: int, fh: int) -> int:
        self._writes()
        os.fsync(fh)
        return 0

    def flush(self, path: str, fh: int) -> int:
        return 0

    def release(self, path: str, fh: int) -> int:
        os.close(fh)
        return 0


def main() -> None:
    """Serves until it is unmounted."""
    from mfusepy import FUSE  # type: ignore[import-untyped]

    parser = argparse.ArgumentParser()
    parser.add_argument("backing", type=Path)
    parser.add_argument("mount", type=Path)
    options = parser.parse_args()
    with contextlib.suppress(KeyboardInterrupt):
        FUSE(_Faulty(options.backing), str(options.mount), foreground=True, nothreads=True)


if __name__ == "__main__":
    main()
