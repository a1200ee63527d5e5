"""``${env:NAME}`` and ``${file:path}``: how a configuration names what must not stand in it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from msgspec import Struct

__all__ = ["Resolved", "resolve"]

_REFERENCE = re.compile(r"\$\$\{|\$\{([A-Za-z_]+):([^{}]*)\}")
_LARGEST_BYTES = 1_000_000


class Resolved(Struct, frozen=True, kw_only=True):
    """A text with its references replaced; ``faults`` are pairs of (offset in the text, what is wrong)."""

    value: str
    references: tuple[str, ...] = ()
    hidden: tuple[str, ...] = ()
    faults: tuple[tuple[int, str], ...] = ()


def resolve(text: str, folder: Path, environment: Mapping[str, str]) -> Resolved:
    """``text`` with every reference replaced, files relative to ``folder``; ``$${`` stands for ``${``.

    A file's content is UTF-8 text without the line ends at its end.
    """
    if "${" not in text:
        return Resolved(value=text)
    parts: list[str] = []
    references, hidden, faults = [], [], []
    end = 0
    for match in _REFERENCE.finditer(text):
        parts.append(text[end : match.start()])
        end = match.end()
        if match.group() == "$${":
            parts.append("${")
            continue
        try:
            value = _value(match[1], match[2], folder, environment)
        except ValueError as error:
            faults.append((match.start(), f"{match.group()}: {error}"))
            continue
        parts.append(value)
        references.append(match.group())
        hidden.append(value)
    parts.append(text[end:])
    return Resolved(
        value="".join(parts), references=tuple(references), hidden=tuple(hidden), faults=tuple(faults)
    )


def _value(scheme: str, name: str, folder: Path, environment: Mapping[str, str]) -> str:
    if scheme == "env":
        if name not in environment:
            raise ValueError(f"the environment variable {name!r} is not set")
        return environment[name]
    if scheme == "file":
        return _content(folder / name)
    raise ValueError("no such reference; write ${env:NAME} or ${file:path} ($${ for a ${)")


def _content(path: Path) -> str:
    try:
        with path.open("rb") as file:
            content = file.read(_LARGEST_BYTES + 1)
    except OSError as error:
        raise ValueError(f"cannot read {path}: {error.strerror}") from error
    if len(content) > _LARGEST_BYTES:
        raise ValueError(f"{path} is larger than {_LARGEST_BYTES} bytes")
    try:
        return content.decode().rstrip("\r\n")
    except UnicodeDecodeError:
        raise ValueError(f"{path} is not UTF-8 text") from None
