"""What a condition surely wants: a text of a few, at one path. Many routes can be told apart by it at once.

``data.line == 'l-7'``, ``event.plantid in ['brno', 'aachen']``, and either of them with ``&& …``: where the
path has another text the condition is false, whatever the rest of it says (CEL: ``false && error`` is
false). Field numbers are those of cel-spec's ``proto/cel/expr/syntax.proto`` and ``checked.proto``.
"""

from __future__ import annotations

from msgspec import Struct

from canonical.protowire import message, messages, text
from canonical.shortcut import Shortcut, constant_text, path_in, walk

__all__ = ["Selection", "selection"]


class Selection(Struct, frozen=True):
    """The condition holds only where ``read`` gives one of ``texts``, or no text. ``path``: what it reads."""

    path: str
    texts: frozenset[str]
    read: Shortcut


def selection(serialized: bytes) -> Selection | None:
    """The selection of a serialized CheckedExpr; None when there is none to see."""
    return _selection(message(message(serialized, 2), 4))


def _selection(expr: bytes) -> Selection | None:
    call = message(expr, 6)
    sides = messages(call, 3)
    match text(call, 2), sides:
        case "_&&_", [left, right]:
            return _selection(left) or _selection(right)
        case "_==_", [left, right]:
            return _among(left, [right]) or _among(right, [left])
        case "@in", [element, listed]:
            return _among(element, messages(message(listed, 7), 1))
        case _:
            return None


def _among(element: bytes, constants: list[bytes]) -> Selection | None:
    path = path_in(element)
    texts = [constant_text(each) for each in constants]
    if len(path) < 2 or not texts or None in texts:
        return None
    return Selection(".".join(path), frozenset(each for each in texts if each is not None), walk(*path))
