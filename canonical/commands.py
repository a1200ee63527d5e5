"""Commands that a package brings along: ``crossplant NAME …``, and how they write to a terminal.

A package names them by an entry point in ``crossplant.commands``: the command's name → a ``typer.Typer``.
What the list of commands says of it is the first line of its module's docstring, behind the colon; it is
read from the source, so that help imports nothing.
"""

from __future__ import annotations

import ast
import json
import re
import sys
from functools import cache
from importlib.machinery import ModuleSpec, PathFinder
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from canonical.errors import ConfigError

__all__ = ["COMMANDS", "commands", "load", "say", "show", "show_json", "summary", "visible"]

COMMANDS = "crossplant.commands"

_CONTROL = re.compile("[\x00-\x08\x0a-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")


@cache
def _entries() -> tuple[EntryPoint, ...]:
    return tuple(entry_points(group=COMMANDS))


def commands() -> list[str]:
    """The names of the commands that packages bring along, sorted."""
    return sorted({entry.name for entry in _entries()})


def load(name: str) -> Any:
    """The ``typer.Typer`` of a command. Raises ConfigError when several packages bring one of that name."""
    found = [entry for entry in _entries() if entry.name == name]
    if len(found) != 1:
        raise ConfigError(
            f"command {name!r} is provided by {len(found)} packages: {[one.value for one in found]}"
        )
    return found[0].load()


def summary(name: str) -> str:
    """What a command is for, in one line; empty where its source cannot be read. Imports nothing."""
    module = next((entry.module for entry in _entries() if entry.name == name), "")
    try:
        source = _source(module)
        line = (ast.get_docstring(ast.parse(source)) or "").partition("\n")[0]
    except (ImportError, OSError, SyntaxError, ValueError):
        return ""
    told = line.partition(": ")[2] or line
    return told[:1].upper() + told[1:]


def _source(module: str) -> str:
    """The source of a module. ``importlib.util.find_spec`` would import the packages around it."""
    places: Any = None
    spec: ModuleSpec | None = None
    parts = module.split(".")
    for size in range(1, len(parts) + 1):
        spec = PathFinder.find_spec(".".join(parts[:size]), places)
        if spec is None:
            break
        places = spec.submodule_search_locations
    source: str | None = getattr(spec and spec.loader, "get_source", lambda name: None)(module)
    return source or ""


# ── what commands write: data to stdout, messages to stderr, and nothing that steers a terminal ─────


def visible(value: object) -> str:
    """The value as one line of text; control characters, which could steer a terminal, are escaped."""
    text = "" if value is None else value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return _CONTROL.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def show(text: str = "", *, end: str = "\n") -> None:
    """A line of data, to stdout at once."""
    sys.stdout.write(f"{text}{end}")
    sys.stdout.flush()


def say(text: str) -> None:
    """A message for people, to stderr."""
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


def show_json(value: Any, *, compact: bool = False) -> None:
    """A JSON value to stdout: indented, or in one line."""
    show(json.dumps(value, ensure_ascii=False, indent=None if compact else 2))
