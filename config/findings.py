"""What is wrong with a configuration, and where it is written."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from typing import Literal

from msgspec import Struct

from canonical.errors import ConfigError

__all__ = ["ConfigErrors", "Finding", "did_you_mean"]


class Finding(Struct, frozen=True, kw_only=True, order=True):
    """One thing to mend. ``line`` and ``column`` are 1-based, in characters; 0 when there is no place.

    An ``error`` keeps the deployment from running, a ``warning`` does not. ``message`` never holds
    what ``${env:…}`` or ``${file:…}`` stand for, nor a secret.
    """

    file: str
    line: int = 0
    column: int = 0
    severity: Literal["error", "warning"] = "error"
    message: str

    def __str__(self) -> str:
        where = ":".join(str(part) for part in (self.file, self.line, self.column) if part)
        return f"{where}: {'warning: ' if self.severity == 'warning' else ''}{self.message}"


class ConfigErrors(ConfigError):
    """All findings of a deployment that cannot run as written."""

    def __init__(self, findings: Sequence[Finding]) -> None:
        first = next((found for found in findings if found.severity == "error"), findings[0])
        super().__init__(first.message, file=first.file, line=first.line, column=first.column)
        self.findings = list(findings)

    def __str__(self) -> str:
        return "\n".join(str(found) for found in self.findings)


def did_you_mean(written: str, known: Iterable[str], *, otherwise: str = "") -> str:
    """``; did you mean 'x'?`` for the nearest of ``known``, else ``; {otherwise}: …`` with a few of them."""
    names = sorted(set(known))
    near = get_close_matches(written.lower(), [name.lower() for name in names], n=1, cutoff=0.6)
    if near:
        return f"; did you mean {next(name for name in names if name.lower() == near[0])!r}?"
    if not otherwise or not names:
        return ""
    shown = ", ".join(names[:12]) + (" …" if len(names) > 12 else "")
    return f"; {otherwise}: {shown}"
