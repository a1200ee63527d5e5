"""Names of files: which are safe, which are ours, and what a moved or delivered file is called. Pure."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import PurePosixPath

from canonical.exchange.folder import Entry

__all__ = [
    "REASON",
    "done_name",
    "free_names",
    "is_done_name",
    "leftover_name",
    "leftover_of",
    "message_id",
    "part_name",
    "reason_text",
    "suffixed",
    "unsafe",
]

REASON = ".reason.txt"
_NAME_BYTES = 255
_ROOM_BYTES = 40  # for what we add to a name
_LEFTOVER = re.compile(r"\.(.+)\.([0-9a-f]{16})\.taken", re.DOTALL)
_MOST_TRIES = 1_000


def unsafe(name: str) -> str:
    """What is wrong with a name that somebody else chose; empty when nothing is."""
    if name in {"", ".", ".."}:
        return "it is no file name"
    if "/" in name or "\\" in name:
        return "it has a path separator"
    if any(ord(char) < 32 or 127 <= ord(char) < 160 or char in "\u2028\u2029" for char in name):
        return "it has control characters"
    try:
        size = len(name.encode())
    except UnicodeEncodeError:
        return "it is not UTF-8"
    return "" if size <= _NAME_BYTES else f"it is longer than {_NAME_BYTES} bytes"


def message_id(folder: str, entry: Entry, content: bytes) -> str:
    """The identity of one pick-up: the same again after a crash, another when the file is put again."""
    digest = hashlib.sha256(hashlib.sha256(content).digest())
    digest.update(f"{entry.size_bytes}:{entry.mtime_ns}:{folder}/{entry.name}".encode())
    return f"{entry.name}:{digest.hexdigest()[:32]}"


def done_name(pattern: str, name: str) -> str:
    """The name of the file that says ``name`` is complete."""
    return pattern.replace("{name}", name).replace("{stem}", PurePosixPath(name).stem)


def is_done_name(pattern: str, name: str) -> bool:
    """Whether a name can only be that of a done-file."""
    before, _, after = pattern.replace("{stem}", "{name}").partition("{name}")
    return name.startswith(before) and name.endswith(after)


def leftover_name(name: str, identity: str) -> str:
    """What a file is called between being safe with us and being removed."""
    return f".{_shortened(name)}.{_hash16(identity)}.taken"


def leftover_of(name: str) -> str | None:
    """The name that a file had which a process left when it ended just then; None for any other file."""
    found = _LEFTOVER.fullmatch(name)
    return found[1] if found else None


def part_name(name: str) -> str:
    """What a file of ours is called while it is written."""
    return f"{_shortened(name)}.part"


def suffixed(name: str, identity: str, content: bytes) -> str:
    """Another name for a delivery whose name is taken: the same at every attempt."""
    return _with(name, _hash16(f"{identity}:{hashlib.sha256(content).hexdigest()}")[:8])


def free_names(name: str, now: datetime) -> Iterator[str]:
    """The name, then others with the time in them, for a folder where nothing is ever overwritten."""
    yield name
    stamp = now.astimezone(UTC).strftime("%Y%m%dT%H%M%SZ")
    yield _with(name, stamp)
    for number in range(2, _MOST_TRIES):
        yield _with(name, f"{stamp}-{number}")


def reason_text(*, what: str, where: str, to_do: str, now: datetime, details: tuple[str, ...] = ()) -> str:
    """The text beside a refused file, for whoever finds it there."""
    lines = [
        f"what:  {_line(what)}",
        f"where: {_line(where)}",
        f"when:  {now.astimezone(UTC).isoformat(timespec='seconds')}",
        f"to do: {_line(to_do)}",
    ]
    lines += [f"  - {_line(detail)}" for detail in details]
    return "\n".join([*lines, ""])


def _line(text: str) -> str:
    return " ".join("".join(char if char.isprintable() else " " for char in text).split())


def _with(name: str, mark: str) -> str:
    path = PurePosixPath(_shortened(name))
    return f"{path.stem}.{mark}{path.suffix}"


def _shortened(name: str) -> str:
    """The name with room for what we add, its extension kept."""
    if len(name.encode()) <= _NAME_BYTES - _ROOM_BYTES:
        return name
    suffix = PurePosixPath(name).suffix[:20]
    stem = name.encode()[: _NAME_BYTES - _ROOM_BYTES - len(suffix.encode()) - 9].decode(errors="ignore")
    return f"{stem}-{_hash16(name)[:8]}{suffix}"


def _hash16(text: str) -> str:
    return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()[:16]
