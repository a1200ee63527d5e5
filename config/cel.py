"""What CEL's compiler says: in fewer words, and at its place in the file."""

from __future__ import annotations

import re

from config.document import Mark, Node

__all__ = ["expression_place", "in_words"]

_NOISE = re.compile(r" expecting (\{.*\}|<EOF>)|\s*\[[A-Z_]+\]$")


def in_words(message: str) -> str:
    """The message without the list of all tokens that might have followed, beginning in lower case."""
    text = _NOISE.sub("", message).replace("'<EOF>'", "the end")
    return text if text[:2].isupper() else text[:1].lower() + text[1:]


def expression_place(node: Node, line: int, column: int) -> Mark:
    """Where in the file line and column of the text in ``node`` are; what is behind its end, at its end."""
    text = str(node.value)
    offset = sum(len(before) + 1 for before in text.split("\n")[: line - 1]) + column - 1
    return node.place(min(offset, len(text.rstrip())))
