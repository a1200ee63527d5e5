"""``crossplant reload``: a running hub takes over what is written now."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from gateway.commands.asking import DEFAULT_URL, AsJson, KeyFile, Url, ask

__all__ = ["reload"]


def reload(
    url: Url = DEFAULT_URL,
    key_file: KeyFile = None,
    *,
    check: Annotated[
        bool, typer.Option("--check", help="Tells what it would change, and loads nothing.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Makes a running hub read its configuration anew and take it over: all of it, or nothing.

    What did not change keeps its session, buffers and place. One that is not sound is refused, with the
    reasons by file, line and column (exit code 2), and what ran goes on. The files are those on the hub's
    own machine, with which it was started; SIGHUP does the same.

    \b
    crossplant reload
    crossplant reload --check
    """
    from gateway.commands.client import GatewayError
    from gateway.commands.terminal import say, show, show_json, visible

    client = ask(url, key_file)
    try:
        told = client.post(f"/v1/configuration/{'check' if check else 'reload'}")
    except GatewayError as error:
        if error.status == 422:
            say(visible(str(error)))
            raise typer.Exit(2) from error
        raise
    if as_json:
        show_json(told)
    else:
        for found in told.get("findings") or ():
            show(visible(_finding(found)))
        for change in told["changes"]:
            show(visible(_change(change)))
        say(_summary(told, check=check))
    if told.get("errors"):
        raise typer.Exit(2)


def _summary(told: Any, *, check: bool) -> str:
    if told.get("errors"):
        return "it would be refused"
    number = len(told["changes"])
    changed = f"{number} key{'' if number == 1 else 's'} changed" if number else "nothing changed"
    if check:
        return changed
    version = told["version"]
    names = [*told["adapters"], *told["routes"]]
    touched = f"; exchanged: {', '.join(names)}" if names else ""
    return f"version {version['number']} ({version['hash']}) runs: {changed}{touched}"


def _finding(found: Any) -> str:
    where = ":".join(str(found[part]) for part in ("file", "line", "column") if found[part])
    return f"{where}: {'warning: ' if found['severity'] == 'warning' else ''}{found['message']}"


def _change(change: Any) -> str:
    if change["behind"]:
        return f"{change['key']}: what {change['after']} stands for"
    return f"{change['key']}: {_value(change['before'])} → {_value(change['after'])}"


def _value(value: Any) -> str:
    import json

    return "nothing" if value is None else json.dumps(value, ensure_ascii=False)
