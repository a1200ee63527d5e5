"""From YAML files to a Deployment, or to everything that is wrong with them."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from msgspec import Struct
from pydantic import ValidationError

from config.check import examine
from config.compose import compose
from config.document import Entry, Node, Text, spell
from config.explain import explain
from config.findings import ConfigErrors, Finding
from config.hiding import Hiding
from config.model import Deployment
from config.shape import Shape
from config.written import written_of

__all__ = ["Finding", "check", "load"]

_NAMED = ("plants", "partners", "adapters", "routes", "service_levels")
_LISTED = ("crosswalks", "python", "tests")


def load(path: Path | str, environment: Mapping[str, str] = os.environ) -> Deployment:
    """The deployment in a YAML file, or in a folder's ``*.yaml`` files together.

    Raises ConfigErrors with all findings when one of them is an error; warnings pass.
    """
    reading = _read(Path(path), environment)
    if reading.deployment is None or any(found.severity == "error" for found in reading.findings):
        raise ConfigErrors(reading.findings)
    return reading.deployment


def check(path: Path | str, environment: Mapping[str, str] = os.environ) -> list[Finding]:
    """Everything that is wrong or doubtful, by file, line and column; empty when all is well."""
    return _read(Path(path), environment).findings


class _Reading(Struct, frozen=True, kw_only=True):
    findings: list[Finding]
    deployment: Deployment | None = None


def _read(path: Path, environment: Mapping[str, str]) -> _Reading:
    root, findings = _tree(path, environment)
    if root is None:
        return _Reading(findings=sorted(findings))
    if not isinstance(root.value, dict):
        wrong = root.mark.finding("must be a mapping with keys such as company, plants, adapters and routes")
        return _Reading(findings=[*findings, wrong])
    shape = Shape(root)
    deployment, wrong_parts = _validated(root, shape)
    findings += wrong_parts + _clear_secrets(root, shape)
    if deployment is not None:
        findings += examine(deployment, root)
        deployment = deployment.with_written(written_of(root, shape.secret))
    hide = Hiding(root, shape)
    return _Reading(findings=sorted({hide(found) for found in findings}, key=_order), deployment=deployment)


def _order(found: Finding) -> tuple[str, int, int, str]:
    return found.file, found.line, found.column, found.message


# ── files ───────────────────────────────────────────────────────────────────────────────────────


def _tree(path: Path, environment: Mapping[str, str]) -> tuple[Node | None, list[Finding]]:
    """(the tree of all files, findings); no tree when a file is not there or is no YAML."""
    files = [path]
    if path.is_dir():
        files = sorted(file for file in path.iterdir() if file.suffix in (".yaml", ".yml"))
        if not files:
            return None, [Finding(file=str(path), message="the folder has no *.yaml file")]
    roots, findings = [], []
    for file in files:
        root, found = _composed(file, environment)
        roots.append(root)
        findings += found
    whole = [root for root in roots if root is not None]
    return (_merged(whole, findings) if len(whole) == len(roots) else None), findings


def _composed(file: Path, environment: Mapping[str, str]) -> tuple[Node | None, list[Finding]]:
    try:
        content = file.read_bytes().decode("utf-8-sig")
    except OSError as error:
        return None, [Finding(file=str(file), message=f"cannot be read: {error.strerror}")]
    except UnicodeDecodeError as error:
        return None, [Finding(file=str(file), message=f"is not UTF-8 text (byte {error.start})")]
    return compose(Text(str(file), content), file.parent, environment)


def _merged(roots: list[Node], findings: list[Finding]) -> Node:
    """One tree: sections by name, lists one after the other; anything else may stand in one file only."""
    if len(roots) == 1:
        return roots[0]
    entries: dict[str, Entry] = {}
    for root in roots:
        if not isinstance(root.value, dict):
            findings.append(root.mark.finding("must be a mapping with keys such as plants and routes"))
            continue
        for name, entry in root.value.items():
            entries[name] = _joined(name, entries[name], entry, findings) if name in entries else entry
    return Node(value=entries, mark=roots[0].mark)


def _joined(name: str, first: Entry, second: Entry, findings: list[Finding]) -> Entry:
    one, two = first.node.value, second.node.value
    if one is None or two is None:
        return second if one is None else first
    if name in _LISTED and isinstance(one, list) and isinstance(two, list):
        return Entry(mark=first.mark, node=Node(value=[*one, *two], mark=first.node.mark))
    if name in _NAMED and isinstance(one, dict) and isinstance(two, dict):
        for key in one.keys() & two.keys():
            findings.append(_twice(f"{name}.{key}", one[key], two[key]))
        return Entry(mark=first.mark, node=Node(value={**two, **one}, mark=first.node.mark))
    findings.append(_twice(name, first, second))
    return first


def _twice(name: str, first: Entry, second: Entry) -> Finding:
    place = first.mark
    return second.mark.finding(f"{name} is given twice; first in {place.file}:{place.line}:{place.column}")


# ── values ──────────────────────────────────────────────────────────────────────────────────────


def _validated(root: Node, shape: Shape) -> tuple[Deployment | None, list[Finding]]:
    """(deployment, findings); with findings, it is what remains without the parts that are wrong."""
    data = root.plain
    _anchor(data, root, shape)
    findings: list[Finding] = []
    for attempt in range(3):
        try:
            return Deployment.model_validate(data), findings
        except ValidationError as error:
            findings += [] if findings else explain(error, root, shape)
            for wrong in error.errors(include_url=False, include_input=False):
                steps = [step for step in wrong["loc"] if isinstance(step, str)]
                _prune(data, steps, finely=not attempt)
            data.setdefault("company", "unknown")
    return None, findings


def _anchor(data: Any, root: Node, shape: Shape) -> None:
    """Relative paths count from the file that they stand in."""
    for path, node in root.scalars():
        if path and isinstance(node.value, str) and _is_path(shape, path):
            within = data
            for step in path[:-1]:
                within = within[step]
            within[path[-1]] = str(Path(node.mark.file).parent / node.value)


def _is_path(shape: Shape, path: tuple[str | int, ...]) -> bool:
    return any(isinstance(kind, type) and issubclass(kind, Path) for kind in shape.types(path))


def _prune(data: dict[str, Any], steps: list[str], *, finely: bool) -> None:
    """Takes out what is wrong: of a route (``finely``) the innermost key, else the whole named part."""
    section = data.get(steps[0]) if steps else None
    if not isinstance(section, dict) or len(steps) < 2 or steps[0] not in _NAMED:
        data.pop(steps[0] if steps else "", None)
        return
    within, key = section, steps[1]
    for step in steps[2:] if finely and steps[0] == "routes" else ():
        inner = within.get(key)
        if isinstance(inner, dict) and step in inner:
            within, key = inner, step
    within.pop(key, None)


def _clear_secrets(root: Node, shape: Shape) -> list[Finding]:
    return [
        node.mark.finding(f"{spell(path)}: a secret in clear; write ${{file:…}} or ${{env:…}}")
        for path, node in root.scalars()
        if node.value is not None and not node.references and not node.unresolved and shape.secret(path)
    ]
