"""Whether a machine, its disk, a data folder and a deployment are fit for a hub. Changes nothing."""

from __future__ import annotations

import os
import platform
import resource
import shutil
import socket
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Final, Literal

import apsw
from msgspec import Struct

from canonical.errors import ConfigError
from config.load import check, load
from config.model import Deployment
from gateway.unixsocket import SOCKET
from router.journal import schema

__all__ = ["Finding", "examine"]

Verdict = Literal["ok", "doubtful", "bad"]

_FILES: Final = 4096
_SYNCS: Final = 20
_SLOW_S: Final = 0.05
_LEAST_BYTES: Final = 1_000_000_000
_ANSWER_S: Final = 2.0
_JOURNAL: Final = "journal.db"
_SHARED: Final = frozenset({"nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "fuse.sshfs", "ceph", "glusterfs"})
_MEMORY: Final = frozenset({"tmpfs", "ramfs"})


class Finding(Struct, frozen=True, kw_only=True):
    """What was looked at, what was seen, and what to do about it."""

    what: str
    verdict: Verdict
    detail: str
    remedy: str = ""


def examine(config: Path | None, data: Path | None) -> Iterator[Finding]:
    """Everything that can be told, one after the other; without a path what needs it is left out."""
    yield _program()
    yield _sqlite()
    yield _open_files()
    deployment = None
    if config is not None:
        yield _configuration(config)
        deployment = _loaded(config)
    if data is not None:
        yield from _folder(data, deployment)


# ── the program and the machine ─────────────────────────────────────────────────────────────────


def _program() -> Finding:
    detail = f"crossplant {version('crossplant')}, Python {platform.python_version()}, {platform.platform()}"
    if not sys.platform.startswith("linux"):
        return Finding(what="program", verdict="bad", detail=detail, remedy="run it on Linux")
    return Finding(what="program", verdict="ok", detail=detail)


def _sqlite() -> Finding:
    found = apsw.sqlite_lib_version()
    try:
        schema.refuse_old_sqlite(found)
    except ConfigError as error:
        return Finding(what="sqlite", verdict="bad", detail=f"SQLite {found}", remedy=error.message)
    return Finding(what="sqlite", verdict="ok", detail=f"SQLite {found}")


def _open_files() -> Finding:
    most, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    detail = f"{most} open files at once"
    if most != resource.RLIM_INFINITY and most < _FILES:
        remedy = f"raise it to {_FILES} (`ulimit -n`, or LimitNOFILE= of the unit): each connection takes one"
        return Finding(what="files", verdict="doubtful", detail=detail, remedy=remedy)
    return Finding(what="files", verdict="ok", detail=detail)


# ── the deployment ──────────────────────────────────────────────────────────────────────────────


def _configuration(config: Path) -> Finding:
    findings = check(config)
    errors = sum(found.severity == "error" for found in findings)
    detail = f"{config}: {errors} errors, {len(findings) - errors} warnings"
    remedy = f"see `crossplant check --config {config}`" if findings else ""
    verdict: Verdict = "bad" if errors else "doubtful" if findings else "ok"
    return Finding(what="config", verdict=verdict, detail=detail, remedy=remedy)


def _loaded(config: Path) -> Deployment | None:
    try:
        return load(config)
    except ConfigError:
        return None  # `_configuration` has told it


# ── the data folder ─────────────────────────────────────────────────────────────────────────────


def _folder(data: Path, deployment: Deployment | None) -> Iterator[Finding]:
    if not data.is_dir():
        verdict: Verdict = "bad" if data.exists() else "doubtful"
        remedy = (
            "name a folder" if data.exists() else "`crossplant run` makes it; make it to have it examined"
        )
        yield Finding(what="data", verdict=verdict, detail=f"{data} is no folder", remedy=remedy)
        return
    yield _rights(data)
    yield _file_system(data)
    yield _room(data, deployment)
    if os.access(data, os.W_OK):
        yield _speed(data)
    if (data / _JOURNAL).exists():
        yield _journal(data)
        yield _hub(data)


def _rights(data: Path) -> Finding:
    found = data.stat()
    detail = f"{data}, mode {found.st_mode & 0o777:04o}"
    if not os.access(data, os.R_OK | os.W_OK | os.X_OK):
        remedy = f"give it to the hub's user: it belongs to user {found.st_uid}, this is {os.getuid()}"
        return Finding(what="data", verdict="bad", detail=detail, remedy=remedy)
    if found.st_mode & 0o077:
        remedy = f"`chmod 700 {data}`: it holds messages, events and the audit's key in clear"
        return Finding(what="data", verdict="doubtful", detail=detail, remedy=remedy)
    return Finding(what="data", verdict="ok", detail=detail)


def _file_system(data: Path) -> Finding:
    kind = _kind_of(data.resolve(), Path("/proc/mounts").read_text(encoding="utf-8"))
    if kind in _SHARED:
        remedy = "put the data on a local disk: locks and syncs over a network do not hold what they promise"
        return Finding(what="disk", verdict="bad", detail=kind, remedy=remedy)
    if kind in _MEMORY:
        remedy = "put the data on a disk: this one is in memory, and empty after the machine's next start"
        return Finding(what="disk", verdict="bad", detail=kind, remedy=remedy)
    return Finding(what="disk", verdict="ok", detail=kind)


def _kind_of(path: Path, mounts: str) -> str:
    """The kind of the file system that a path is on; of mounts over each other the last counts."""
    found, kind = -1, "unknown"
    for line in mounts.splitlines():
        _, where, this, *_ = line.split(" ")
        mount = Path(where.encode().decode("unicode_escape"))
        if path.is_relative_to(mount) and len(mount.parts) >= found:
            found, kind = len(mount.parts), this
    return kind


def _room(data: Path, deployment: Deployment | None) -> Finding:
    free = shutil.disk_usage(data).free
    held = sum(file.stat().st_size for part in ("*.db*", "claims/*") for file in data.glob(part))
    detail = f"{_size(free)} free, {_size(held)} in use"
    if free < _LEAST_BYTES:
        remedy = "make room: a full disk stops all acknowledgements until there is some"
        return Finding(what="room", verdict="bad", detail=detail, remedy=remedy)
    if deployment is not None and free < deployment.journal.retain_size - held:
        limit = _size(int(deployment.journal.retain_size))
        remedy = f"make room, or lower journal.retain_size ({limit}): the disk is full before the journal is"
        return Finding(what="room", verdict="doubtful", detail=detail, remedy=remedy)
    return Finding(what="room", verdict="ok", detail=detail)


def _speed(data: Path) -> Finding:
    """How long a small write takes until it is on the disk: everything that is acknowledged waits for it."""
    taken: list[float] = []
    with tempfile.TemporaryFile(dir=data) as file:
        for _ in range(_SYNCS):
            began = time.perf_counter()
            os.write(file.fileno(), bytes(4096))
            os.fdatasync(file.fileno())
            taken.append(time.perf_counter() - began)
    middle = statistics.median(taken)
    detail = f"a durable write takes {1000 * middle:.1f} ms, {1000 * max(taken):.1f} ms at most"
    if middle > _SLOW_S:
        remedy = "use a faster disk, or one with a protected write cache: sources wait so long each time"
        return Finding(what="sync", verdict="doubtful", detail=detail, remedy=remedy)
    return Finding(what="sync", verdict="ok", detail=detail)


def _journal(data: Path) -> Finding:
    uri = f"{(data / _JOURNAL).resolve().as_uri()}?mode=ro"
    try:
        connection = apsw.Connection(uri, flags=apsw.SQLITE_OPEN_READONLY | apsw.SQLITE_OPEN_URI)
        try:
            found = int(
                str(connection.execute("SELECT value FROM meta WHERE key = 'schema'").fetchall()[0][0])
            )
        finally:
            connection.close()
    except (apsw.Error, IndexError, ValueError) as error:
        remedy = "restore a backup, or ask with this text"
        return Finding(what="journal", verdict="bad", detail=f"cannot be read: {error}", remedy=remedy)
    if found > schema.VERSION:
        remedy = "run the program that wrote it, or a newer one"
        return Finding(what="journal", verdict="bad", detail=f"version {found}", remedy=remedy)
    if found < schema.VERSION:
        remedy = f"the next start brings it to version {schema.VERSION}: make a backup before"
        return Finding(what="journal", verdict="doubtful", detail=f"version {found}", remedy=remedy)
    return Finding(what="journal", verdict="ok", detail=f"version {found}")


def _hub(data: Path) -> Finding:
    """Whether the hub that holds the folder answers, by its local socket."""
    lock = data / "lock"
    if not lock.exists() or not _locked(lock, Path("/proc/locks").read_text(encoding="utf-8")):
        return Finding(what="hub", verdict="ok", detail="none runs on this folder")
    process = lock.read_text(encoding="utf-8", errors="replace").strip() or "unknown"
    try:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(_ANSWER_S)
            folder = os.open(data, os.O_PATH)
            try:
                connection.connect(f"/proc/self/fd/{folder}/{SOCKET}")
            finally:
                os.close(folder)
    except OSError as error:
        remedy = "look into its log; it may be starting or stopping"
        detail = f"process {process} runs and does not answer: {error}"
        return Finding(what="hub", verdict="doubtful", detail=detail, remedy=remedy)
    return Finding(what="hub", verdict="ok", detail=f"process {process} runs and answers")


def _locked(file: Path, locks: str) -> bool:
    """Whether anybody holds a lock on it, without trying to take it."""
    inode = str(file.stat().st_ino)
    return any(inode == column.rpartition(":")[2] for line in locks.splitlines() for column in line.split())


def _size(number: int) -> str:
    return f"{number / 1e9:.1f} GB"
