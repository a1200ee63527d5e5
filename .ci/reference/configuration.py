"""The page of what an operator writes, from the model that reads it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, get_args, get_origin

from pydantic import BaseModel

from config.model import Deployment
from gateway.commands.options import Option, options
from reference.kinds import option_table
from reference.markdown import page

__all__ = ["pages"]

_HEAD = """\
A deployment is one YAML file, or a folder of them that are read as one. `crossplant check --config PATH`
tells what is wrong with it by file, line and column; `crossplant schema config` prints its JSON Schema,
for editors. Durations and sizes carry their unit (`500ms`, `30s`, `20GB`); `${env:NAME}` and
`${file:PATH}` stand for what must not be written down; unknown keys are errors. What stands in a list is
marked `[]`, under any name `*`."""


_MORE = {
    "partners": " The options of `edifact` and `x12` are those of the [formats](formats/README.md).",
    "adapters": " Beside these stand the options of its kind: [adapters](adapters/README.md).",
    "routes": " What may stand under `to` depends on the adapter's kind: [adapters](adapters/README.md).",
}
_NOT_WRITTEN = ("options", "format.options", "to.options", "to.kind")
"""How the model keeps the options of a kind; one writes them beside the common ones."""


def pages() -> Iterator[tuple[str, str]]:
    """(path below docs/reference, text)."""
    parts = [_HEAD, option_table([option for option in options(Deployment) if _on_top(option)])]
    for name, field in Deployment.model_fields.items():
        model, many = _model(field.annotation)
        if model is not None:
            parts += [f"## {name}", _about(name, model, many=many), _options(model)]
    yield "configuration.md", page("Configuration", *parts)


def _on_top(option: Option) -> bool:
    return "." not in option.name


def _model(annotation: Any) -> tuple[type[BaseModel] | None, bool]:
    """(the model of a section or of its members, whether it has members)."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    kind = arguments[-1] if origin in (dict, list) and arguments else annotation
    model = kind if isinstance(kind, type) and issubclass(kind, BaseModel) else None
    return model, origin is not None


def _about(name: str, model: type[BaseModel], *, many: bool) -> str:
    """The first sentence of the model's docstring; the others are for those who program with it."""
    text = " ".join((model.__doc__ or "").replace("``", "`").split())
    sentence = text.partition(". ")[0].rstrip(".") + "."
    return f"{'Each: ' if many else ''}{sentence}{_MORE.get(name, '')}"


def _options(model: type[BaseModel]) -> str:
    return option_table([each for each in options(model) if each.name not in _NOT_WRITTEN])
