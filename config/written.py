"""A deployment as it is written: key by key, with references in place of what they stand for.

From it come a version's hash, and what one load changed against another, without a secret in either.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable, Iterator, Mapping
from hashlib import blake2b, sha256
from typing import Any, Final

import msgspec
from msgspec import Struct, field

from config.document import Mark, Node, Path, spell
from config.findings import Finding

__all__ = ["Change", "Written", "changes", "written_of"]

_MASK: Final = "…"
_TELLING: Final = re.compile(
    r"pass(word|wd|phrase)?$|secret|token|credential|authori[sz]ation|api_?key", re.IGNORECASE
)
_USERINFO: Final = re.compile(r"(?<=://)[^/\s@]*:[^/\s@]+(?=@)")
_SALT: Final = secrets.token_bytes(16)  # what is behind a reference is compared within this process only


class Change(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A key that one load has otherwise than another. ``before`` and ``after`` are what is written there,
    None where nothing is; ``behind``: only what a reference stands for is another."""

    key: str
    before: Any = None
    after: Any = None
    behind: bool = False


class Written(Struct, frozen=True, kw_only=True):
    """``values`` by key (``routes.stock.to.path``); ``behind`` digests of what references stand for."""

    values: Mapping[str, Any] = {}
    behind: Mapping[str, bytes] = {}
    places: Mapping[str, Mark] = field(default_factory=dict)

    @property
    def hash(self) -> str:
        """The same wherever the same is written: 12 hex digits of SHA-256, whatever the order of the keys."""
        return sha256(msgspec.json.encode(self.values, order="sorted")).hexdigest()[:12]

    def finding(self, key: str, message: str) -> Finding:
        """An error at the key, or at what is nearest above it."""
        while key and key not in self.places:
            key = key[: max(key.rfind("."), key.rfind("["), 0)]
        place = self.places.get(key)
        return Finding(file="", message=message) if place is None else place.finding(message)


def written_of(root: Node, secret: Callable[[Path], bool]) -> Written:
    """What is written in the tree; what is ``secret``, or looks so, is masked where it stands in clear."""
    values: dict[str, Any] = {}
    behind: dict[str, bytes] = {}
    for path, node in root.scalars():
        key = spell(path)
        if node.references:
            values[key] = node.template
            behind[key] = blake2b("\0".join(node.hidden).encode(), key=_SALT).digest()
        else:
            hide = secret(path) or (isinstance(path[-1], str) and _TELLING.search(path[-1]) is not None)
            values[key] = _shown(node.value, hide=hide)
    return Written(values=values, behind=behind, places=dict(_places(root)))


def _shown(value: Any, *, hide: bool) -> Any:
    if not isinstance(value, str):
        return value
    return _MASK if hide else _USERINFO.sub(_MASK, value)


def _places(node: Node, key: str = "") -> Iterator[tuple[str, Mark]]:
    """Where each key stands, those of mappings and lists included."""
    match node.value:
        case dict():
            for name, entry in node.value.items():
                inner = f"{key}.{name}" if key else name
                yield inner, entry.mark
                yield from _places(entry.node, inner)
        case list():
            for index, member in enumerate(node.value):
                yield f"{key}[{index}]", member.mark
                yield from _places(member, f"{key}[{index}]")
        case _:
            return


def changes(old: Written, new: Written) -> list[Change]:
    """What differs, in the order of the keys as they are written now, then those that are gone."""
    found = []
    for key in dict.fromkeys([*new.values, *old.values]):
        before, after = old.values.get(key), new.values.get(key)
        if before != after or (key in old.values) != (key in new.values):
            found.append(Change(key=key, before=before, after=after))
        elif key in old.behind and key in new.behind and old.behind[key] != new.behind[key]:
            found.append(Change(key=key, before=before, after=after, behind=True))
    return found
