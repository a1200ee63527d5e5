"""The page of the commands, from the commands themselves."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from typer.main import get_command

from canonical.commands import commands, load
from gateway.cli import app
from reference.markdown import cell, code, page, table

__all__ = ["pages"]

_HIDDEN = {"help", "version"}
_TYPES = {"int": "NUMBER", "float": "NUMBER", "Path": "PATH"}


def pages() -> Iterator[tuple[str, str]]:
    """(path below docs/reference, text)."""
    root = get_command(app)
    found = list(_leaves(root, "crossplant"))
    overview = [(f"[{path}](#{path.replace(' ', '-')})", cell(_brief(each))) for path, each in found]
    head = _help(root)
    parts = [_command(path, each) for path, each in found]
    yield "cli.md", page("Commands", head, table(("Command", "What it does"), overview), *parts)


def _leaves(command: Any, path: str) -> Iterator[tuple[str, Any]]:
    """(full name, command) of everything that can be called."""
    members = getattr(command, "commands", None)
    if members is None:
        yield path, command
        return
    named = {name: each for name, each in members.items() if not each.hidden}
    if path == "crossplant":
        named |= {name: get_command(load(name)) for name in commands() if name not in named}
    for name, each in named.items():
        yield from _leaves(each, f"{path} {name}")


def _brief(command: Any) -> str:
    """The first paragraph of its help."""
    paragraph = str(command.help or "").strip().split("\n\n")[0]
    return str(command.short_help or paragraph)


def _command(path: str, command: Any) -> str:
    arguments = [each for each in command.params if "Argument" in type(each).__name__ and not each.hidden]
    settings = [
        each
        for each in command.params
        if "Option" in type(each).__name__ and each.name not in _HIDDEN and not each.hidden
    ]
    needed = [f"{each.opts[0]} {_value(each)}" for each in settings if each.required]
    words = [path, *needed, "[OPTIONS]" if settings else "", *(_place(each) for each in arguments)]
    usage = " ".join(word for word in words if word)
    rows = [(code(_place(each)), cell(str(each.help or "")), "") for each in arguments]
    rows += [(code(_spelled(each)), cell(str(each.help or "")), _default(each)) for each in settings]
    return f"## {path}\n\n```\n{usage}\n```\n\n{_help(command)}\n\n{table(('', 'Meaning', 'Default'), rows)}"


def _help(command: Any) -> str:
    r"""The help as Markdown: paragraphs that are marked with \b stay as they are written."""
    found = []
    for paragraph in re.split(r"\n\s*\n", str(command.help or "").strip()):
        if paragraph.startswith("\b"):
            lines = paragraph.removeprefix("\b").strip("\n")
            found.append(f"```\n{lines}\n```")
        else:
            found.append(" ".join(paragraph.split()).replace("<", "&lt;"))
    return "\n\n".join(found)


def _place(argument: Any) -> str:
    name = str(argument.metavar or argument.name.upper()).strip("[]")
    more = "…" if argument.nargs == -1 else ""
    return f"{name}{more}" if argument.required else f"[{name}{more}]"


def _spelled(option: Any) -> str:
    names = ", ".join([*option.opts, *option.secondary_opts])
    return names if option.is_flag else f"{names} {_value(option)}"


def _value(option: Any) -> str:
    if option.metavar:
        return str(option.metavar)
    annotation = option.type_descriptor.annotation
    choices = getattr(annotation, "__args__", ())
    if choices and all(isinstance(choice, str) for choice in choices):
        return "{" + ",".join(choices) + "}"
    return _TYPES.get(getattr(annotation, "__name__", ""), "TEXT")


def _default(option: Any) -> str:
    default = "" if option.is_flag or option.default in (None, "", ()) else code(str(option.default))
    default = "**required**" if option.required else default
    variable = f"`{option.envvar}`" if option.envvar else ""
    return ", else ".join(each for each in (variable, default) if each)
