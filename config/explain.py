"""Pydantic's errors → findings: at their places, in an operator's words, without secrets."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Any, NamedTuple

from pydantic import ValidationError

from canonical.expression import ExpressionError
from config.cel import expression_place, in_words
from config.document import Mark, Node, Path, spell
from config.findings import Finding, did_you_mean
from config.shape import Shape

__all__ = ["explain"]

_SHOWN = 60
_CHOICES_SHOWN = 6
_TAG_ERRORS = ("union_tag_invalid", "union_tag_not_found")


class _Fault(NamedTuple):
    """One of pydantic's errors, and where it leads to.

    ``beyond``: steps behind ``path`` that are not written in the file, since the adapter itself added
    them (rows of a table that it names). ``labels``: steps that are no keys at all, but pydantic's
    words for the members of a union.
    """

    error: Any
    path: Path
    node: Node
    place: Mark
    beyond: Path
    labels: tuple[str, ...]


def explain(error: ValidationError, root: Node, shape: Shape) -> list[Finding]:
    """One finding for every mistake; none for what hangs on a reference that led nowhere."""
    faults = [_fault(entry, root) for entry in error.errors(include_url=False)]
    solid = [fault for fault in faults if not any(node.unresolved for _, node in fault.node.scalars())]
    return [_finding(group, root, shape) for group in _without_alternatives(solid)]


def _fault(error: Any, root: Node) -> _Fault:
    written, beyond = _parted(error["loc"], root)
    path, node, place = root.trace(written)
    last = written[-1] if written else ""
    unknown = not beyond and error["type"] == "extra_forbidden"
    if unknown or last == "[key]":
        parent = root.find(*path[:-1])
        place = (parent.key(path[-1]) if parent and path else None) or place
    # The last step of these names a key that is missing, or one that stands for itself.
    named = beyond or unknown or last == "[key]" or error["type"] == "missing"
    steps = written[:-1] if named else written
    labels = [step for step in steps if isinstance(step, str) and step != "options" and step not in path]
    return _Fault(error, path, node, place, beyond, tuple(labels))


def _parted(location: Path, root: Node) -> tuple[Path, Path]:
    """The location before, and from, the first list position that is not written."""
    for at, step in enumerate(location):
        if isinstance(step, int) and root.trace(location[: at + 1])[0][-1:] != (step,):
            return location[:at], location[at:]
    return location, ()


def _without_alternatives(faults: Sequence[_Fault]) -> Iterator[list[_Fault]]:
    """Groups of faults that are one mistake: a value that fits no member of a union fails in each.

    The member that most of the value fits is meant; when none fits at all, they are told together.
    """
    plain = [fault for fault in faults if not fault.labels]
    yield from ([fault] for fault in plain)
    tagged = sorted((fault for fault in faults if fault.labels), key=_union)
    for _, members in groupby(tagged, key=_union):
        group = list(members)
        deepest = max(len(fault.path) for fault in group)
        chosen = [fault for fault in group if len(fault.path) == deepest]
        if len({fault.labels[0] for fault in group}) > 1 and len({fault.path for fault in group}) == 1:
            yield chosen
        else:
            meant = chosen[0].labels[0]
            yield from ([fault] for fault in group if fault.labels[0] == meant)


def _union(fault: _Fault) -> str:
    """The place of the union that a fault's first label belongs to."""
    location = list(fault.error["loc"])
    return repr(location[: location.index(fault.labels[0])])


def _finding(group: Sequence[_Fault], root: Node, shape: Shape) -> Finding:
    fault = group[0]
    path = fault.path[:-1] if fault.error["type"] == "extra_forbidden" and not fault.beyond else fault.path
    where = spell((*path, *fault.beyond))
    message = _text(fault, shape) if len(group) == 1 else _neither(group, shape)
    return _place(fault).finding(f"{where}: {message}" if where else message)


def _neither(group: Sequence[_Fault], shape: Shape) -> str:
    """For a value that fits no member of a union."""
    wanted = dict.fromkeys(_EXPECTED.get(fault.error["type"], "") for fault in group)
    if all(wanted):
        return f"must be {' or '.join(wanted)}{_instead(group[0], shape)}"
    return " or ".join(dict.fromkeys(_text(fault, shape) for fault in group))


def _place(fault: _Fault) -> Mark:
    cause = getattr(fault.error.get("ctx", {}).get("error"), "__cause__", None)
    if isinstance(cause, ExpressionError) and fault.node.written:
        return expression_place(fault.node, cause.line, cause.column)
    tag = (
        fault.node.find(fault.error["ctx"]["discriminator"].strip("'"))
        if fault.error["type"] in _TAG_ERRORS
        else None
    )
    return tag.mark if tag else fault.place


def _text(fault: _Fault, shape: Shape) -> str:
    """What is wrong and what to write, without the place."""
    kind, node = fault.error["type"], fault.node
    if fault.beyond:
        return _words(fault.error)
    if kind == "missing":
        return _missing(fault, shape)
    if kind == "extra_forbidden":
        name = str(fault.path[-1])
        hint = did_you_mean(name, shape.keys(fault.path[:-1]), otherwise="known keys")
        return f"unknown key {name!r}{hint}"
    if node.value is None:
        return "is empty; write a value, or leave the key out"
    if kind in _EXPECTED:
        return f"must be {_EXPECTED[kind]}{_instead(fault, shape)}{_hint(kind, node.value)}"
    if kind in _TAG_ERRORS:
        return _tag(fault)
    if kind in ("literal_error", "enum"):
        return _choice(fault, shape)
    if node.references or shape.secret(fault.path):
        return _refused(fault, shape)
    return _words(fault.error)


def _missing(fault: _Fault, shape: Shape) -> str:
    name = str(fault.error["loc"][-1])
    field = shape.field((*fault.path, name))
    meaning = field.description if field else None
    return f"{name!r} is missing" + (f": {meaning}" if meaning else "")


def _tag(fault: _Fault) -> str:
    """For mappings of several kinds, told apart by one key."""
    context = fault.error["ctx"]
    if "tag" not in context:
        return f"{context['discriminator']} is missing"
    hint = did_you_mean(str(context["tag"]), re.findall(r"'([^']*)'", context["expected_tags"]))
    return f"{context['discriminator']} must be {context['expected_tags'].replace(', ', ' or ')}{hint}"


def _choice(fault: _Fault, shape: Shape) -> str:
    expected = str(fault.error.get("ctx", {}).get("expected", ""))
    value = fault.node.value
    shown = isinstance(value, str) and not fault.node.references and not shape.secret(fault.path)
    choices = re.findall(r"'([^']*)'", expected)
    hint = did_you_mean(str(value), choices) if shown else ""
    if hint and len(choices) > _CHOICES_SHOWN:
        return f"{value!r} is not one of its choices{hint}"
    return f"must be {expected}{_instead(fault, shape)}{hint}"


def _instead(fault: _Fault, shape: Shape) -> str:
    """``, not 'eighty'``; nothing of what a reference stands for, nor of a secret."""
    value = fault.node.value
    if fault.node.references:
        return f", not what {' and '.join(fault.node.references)} stands for"
    if shape.secret(fault.path):
        return ""
    if isinstance(value, dict | list):
        return ", not a mapping" if isinstance(value, dict) else ", not a list"
    shown = repr(value) if isinstance(value, str) else str(value).lower()
    return f", not {shown[:_SHOWN]}{'…' if len(shown) > _SHOWN else ''}"


def _refused(fault: _Fault, shape: Shape) -> str:
    """For errors of validators, whose words may hold the value."""
    what = f"what {' and '.join(fault.node.references)} stands for" if fault.node.references else "this"
    field = shape.field(fault.path)
    wanted = f"; wanted: {field.description}" if field and field.description else ""
    return f"{what} is not accepted here{wanted}"


def _words(error: Any) -> str:
    raised = error.get("ctx", {}).get("error")
    text = str(raised) if isinstance(raised, Exception) else str(error["msg"])
    return in_words(re.sub(r"^(Input|Value) should be ", "must be ", text))


_EXPECTED = {
    "string_type": "text",
    "int_type": "a whole number",
    "int_parsing": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "float_parsing": "a number",
    "decimal_type": "a number",
    "decimal_parsing": "a number",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "list_type": "a list",
    "tuple_type": "a list",
    "set_type": "a list",
    "dict_type": "a mapping (key: value)",
    "mapping_type": "a mapping (key: value)",
    "model_type": "a mapping (key: value)",
    "model_attributes_type": "a mapping (key: value)",
    "path_type": "a path",
}


def _hint(kind: str, value: Any) -> str:
    """How what is written becomes what is wanted."""
    if kind == "string_type" and isinstance(value, dict):
        return "; text that begins with { or [ needs quotes"
    if kind == "string_type" and not isinstance(value, list):
        return "; put it in quotes"
    return "; put it in [ ]" if kind == "list_type" and isinstance(value, str | int | float) else ""
