"""Keeps what references stand for, and secrets, out of what people are shown."""

from __future__ import annotations

import re

import msgspec

from config.document import Mark, Node
from config.findings import Finding
from config.shape import Shape

__all__ = ["Hiding"]

_SHORT = 4  # what is shorter turns up by chance


class Hiding:
    """Takes hidden values out of findings, in whose words a library or a validator may have put them."""

    def __init__(self, root: Node, shape: Shape) -> None:
        self._hidden: list[tuple[str, str, Mark]] = []
        for path, node in root.scalars():
            for value, reference in zip(node.hidden, node.references, strict=True):
                self._hidden.append((value, reference, node.mark))
            if isinstance(node.value, str) and not node.references and shape.secret(path):
                self._hidden.append((node.value, "…", node.mark))
        self._hidden.sort(key=lambda entry: -len(entry[0]))

    def __call__(self, found: Finding) -> Finding:
        """The finding with references in place of values. Its path, made of keys, stays as it is."""
        path, colon, text = found.message.partition(": ")
        if not colon:
            path, text = "", path
        for value, reference, mark in self._hidden:
            here = (mark.file, mark.line, mark.column) == (found.file, found.line, found.column)
            for form in {value, value.strip(), repr(value)[1:-1]}:
                if form and (len(form) >= _SHORT or here):
                    text = reference.join(re.split(_whole(form), text))
        return msgspec.structs.replace(found, message=path + colon + text)


def _whole(form: str) -> str:
    return re.escape(form) if len(form) >= _SHORT else f"(?<!\\w){re.escape(form)}(?!\\w)"
