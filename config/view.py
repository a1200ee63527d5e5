"""A deployment beside what is written of it, for checks that need both."""

from __future__ import annotations

from collections.abc import Iterator

from msgspec import Struct

from config.document import Mark, Node
from config.findings import Finding, did_you_mean
from config.model import Deployment

__all__ = ["View"]


class View(Struct, frozen=True, kw_only=True):
    """``deployment`` may lack parts that are wrong; ``root`` has everything that is written."""

    deployment: Deployment
    root: Node

    def names(self, section: str) -> list[str]:
        """The names in a section, those of parts that are wrong included."""
        node = self.root.find(section)
        return list(node.value) if node and isinstance(node.value, dict) else []

    def place(self, *path: str | int) -> Mark:
        """Where the value at ``path`` stands, or the deepest written on the way to it."""
        return self.root.trace(path)[2]

    def known(self, section: str, *path: str | int) -> Iterator[Finding]:
        """A finding for every name at ``path``, be it one or a list, that ``section`` lacks."""
        written = self.root.find(*path)
        names = self.names(section)
        for inner, node in written.scalars() if written else ():
            if not isinstance(node.value, str) or node.unresolved or node.value in names or len(inner) > 1:
                continue
            hint = did_you_mean(node.value, names, otherwise="known") or f"; there are no {section}"
            what = f"unknown {section[:-1]} {node.value!r}{hint}"
            yield node.mark.finding(f"{path_text(path)}: {what}")


def path_text(path: tuple[str | int, ...]) -> str:
    """The path without the position in a list: ``routes.a.plants``."""
    return ".".join(step for step in path if isinstance(step, str))
