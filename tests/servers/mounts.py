"""Disks for tests: a small one in memory, and one of its own on a loop device, that can be frozen.

Mounting needs root. Who waits for a frozen disk cannot be killed, so each frost ends by itself, too.
"""

from __future__ import annotations

import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from tests.servers.required import program

__all__ = ["Disk"]

_LONGEST_FROST_S = 60
_WITHIN_S = 60


@dataclass(slots=True, kw_only=True)
class Disk:
    """A mounted file system. ``image`` backs it; without one it lies in memory."""

    mount: Path
    size_mb: int
    image: Path | None = None
    _thaw: subprocess.Popen[bytes] | None = field(default=None, init=False)

    def start(self) -> None:
        """Makes and mounts it."""
        self.mount.mkdir(parents=True, exist_ok=True)
        if self.image is None:
            _run("mount", "-t", "tmpfs", "-o", f"size={self.size_mb}m,mode=700", "tmpfs", str(self.mount))
            return
        with self.image.open("wb") as file:
            file.truncate(self.size_mb * 1_000_000)
        _run("mkfs.ext4", "-q", "-F", str(self.image))
        _run("mount", "-o", "loop,noatime", str(self.image), str(self.mount))

    def freeze(self) -> None:
        """Every write waits from now on; ``thaw`` lets them go on, and so does time."""
        after = ["sh", "-c", f'sleep {_LONGEST_FROST_S}; "$0" -u "$1"', program("fsfreeze"), str(self.mount)]
        self._thaw = subprocess.Popen(after, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        _run("fsfreeze", "-f", str(self.mount))

    def thaw(self) -> None:
        """Ends the frost; nothing when there is none."""
        if self._thaw is None:
            return
        _run("fsfreeze", "-u", str(self.mount))
        self._thaw.kill()
        self._thaw.wait()
        self._thaw = None

    def remount(self, way: Literal["ro", "rw"]) -> None:
        """Makes it read-only under whoever uses it, or writable again."""
        _run("mount", "-o", f"remount,{way}", str(self.mount))

    def stop(self) -> None:
        """Thaws and unmounts it, whoever has files open."""
        self.thaw()
        _run("umount", "-l", str(self.mount))
        if self.image is not None:
            self.image.unlink()


def _run(name: str, *arguments: str) -> None:
    subprocess.run([program(name), *arguments], check=True, capture_output=True, timeout=_WITHIN_S)
