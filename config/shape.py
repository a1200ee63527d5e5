"""Which types may stand where in a configuration, the options of the installed kinds included.

Errors need it for the keys that are known at a place, secrets for where they stand.
"""

from __future__ import annotations

from collections.abc import Iterator
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import AliasChoices, BaseModel, SecretBytes, SecretStr
from pydantic.fields import FieldInfo

from canonical import spec
from config.adapter import AdapterConfig, FormatConfig, options_model
from config.document import Node, Path
from config.model import Deployment
from config.partner import PROFILES, Partner
from config.route import Target

__all__ = ["Shape"]


class Shape:
    """The types of a written deployment, place by place."""

    def __init__(self, root: Node) -> None:
        self.root = root

    def types(self, path: Path) -> list[Any]:
        """The types that the value at ``path`` may have: classes, ``dict[…]``, ``list[…]``."""
        types: list[Any] = [Deployment]
        for end, step in enumerate(path):
            types = [found for kind in types for found in self._step(kind, step, path[:end])]
        return types

    def keys(self, path: Path) -> list[str]:
        """The keys that the mapping at ``path`` may have."""
        models = [kind for kind in self.types(path) if _is_model(kind)]
        return [name for model in models for name in self._fields(model, path)]

    def field(self, path: Path) -> FieldInfo | None:
        """The model's field at ``path``, with its description."""
        for kind in self.types(path[:-1]) if path else []:
            found = self._fields(kind, path[:-1]).get(str(path[-1])) if _is_model(kind) else None
            if found:
                return found
        return None

    def secret(self, path: Path) -> bool:
        """Whether a secret stands at ``path``."""
        return any(kind in (SecretStr, SecretBytes) for kind in self.types(path))

    def _step(self, kind: Any, step: str | int, path: Path) -> Iterator[Any]:
        origin, arguments = get_origin(kind), get_args(kind)
        if kind is Partner and step in PROFILES:
            yield from self._profile(str(step))
        elif _is_model(kind):
            field = self._fields(kind, path).get(str(step))
            if field is not None:
                yield from _spread(field.annotation)
        elif origin is dict:
            yield from _spread(arguments[1])
        elif origin in (list, tuple, set, frozenset) and arguments:
            yield from _spread(arguments[0])

    @staticmethod
    def _profile(kind: str) -> Iterator[type[BaseModel]]:
        """The options of a format that is agreed with a partner."""
        try:
            yield options_model(kind, of_format=True)
        except ValueError:
            return

    def _fields(self, model: type[BaseModel], path: Path) -> dict[str, FieldInfo]:
        fields = {name: field for key, field in model.model_fields.items() for name in _names(key, field)}
        own = self._own(model, path)
        if own is None and model not in (AdapterConfig, FormatConfig, Target):
            return fields
        fields.pop("options", None)
        if model is Target:
            fields.pop("kind", None)
        return fields | (self._fields(own, path) if own else {})

    def _own(self, model: type[BaseModel], path: Path) -> type[BaseModel] | None:
        """The model of the options that stand beside the common keys at ``path``."""
        try:
            if model is Target:
                kind = self._text("adapters", self._text(*path) or self._text(*path, "adapter"), "kind")
                return spec.adapter_spec(kind).target if options_model(kind) else None
            if model in (AdapterConfig, FormatConfig):
                return options_model(self._text(*path, "kind") or "json", of_format=model is FormatConfig)
        except ValueError:
            pass
        return None

    def _text(self, *path: str | int) -> str:
        node = self.root.find(*path)
        return node.value if node and isinstance(node.value, str) else ""


def _is_model(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, BaseModel)


def _names(key: str, field: FieldInfo) -> list[str]:
    """The keys under which a field may be written."""
    alias = field.validation_alias or field.alias
    names = list(alias.choices) if isinstance(alias, AliasChoices) else [alias] if alias else []
    written = [name for name in names if isinstance(name, str)]
    return written or [key]


def _spread(annotation: Any) -> Iterator[Any]:
    """The types of an annotation, unions spread out and metadata left off."""
    if hasattr(annotation, "__value__"):  # `type X = …`
        yield from _spread(annotation.__value__)
    elif get_origin(annotation) is Annotated:
        yield from _spread(get_args(annotation)[0])
    elif get_origin(annotation) in (Union, UnionType):
        for member in get_args(annotation):
            yield from _spread(member)
    else:
        yield annotation
