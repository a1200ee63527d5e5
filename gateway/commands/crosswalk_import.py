"""``crossplant crosswalks import``: what a file would change, and, when asked for that, the change."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from gateway.commands.asking import DEFAULT_URL, AsJson, KeyFile, Url, ask

__all__ = ["load"]


def load(
    file: Annotated[Path, typer.Argument(help="A CSV file; - reads stdin.", metavar="FILE")],
    apply: Annotated[bool, typer.Option("--apply", help="Let the changes shown take effect.")] = False,
    hash: Annotated[
        str | None,
        typer.Option(help="With --apply: only if they are still those shown with this hash.", metavar="HASH"),
    ] = None,
    why: Annotated[str, typer.Option(help="Why; it stands in the rows' history.", metavar="TEXT")] = "",
    *,
    url: Url = DEFAULT_URL,
    key_file: KeyFile = None,
    as_json: AsJson = False,
) -> None:
    """Shows what a CSV file of rows would change; with --apply just that takes effect, all or nothing.

    Rows that the file does not name stay. Exit code 1 when lines are in conflict.

    \b
    crossplant crosswalks import items.csv
    crossplant crosswalks import items.csv --apply --why "new articles of spring"
    """
    from gateway.commands.terminal import say, show, show_json

    client, content, path = ask(url, key_file), _read(file), "/v1/crosswalks/import"
    answer = client.send(path, {}, content, "text/csv")
    if apply and not answer["conflicts"]:
        query = {"apply": "true", "hash": hash or answer["hash"], "why": why or None}
        answer = client.send(path, query, content, "text/csv")
    if as_json:
        show_json(answer)
    else:
        for line in _lines(answer):
            show(line)
        counts = ", ".join(f"{number} {name}" for name, number in answer["counts"].items())
        if answer["applied"]:
            say(f"{counts}; it let {answer['released']} blocked key(s) go")
        else:
            say(f"{counts}; nothing was changed")
            if not answer["conflicts"]:
                command = f"crossplant crosswalks import {file} --apply --hash {answer['hash']}"
                say(f"to let it take effect: {command}")
    if answer["conflicts"]:
        raise typer.Exit(1)


def _lines(answer: Mapping[str, Any]) -> Iterator[str]:
    from gateway.commands.terminal import visible

    for name, sign in (("added", "+"), ("changed", "~"), ("retired", "-")):
        for change in answer[name]:
            before, after = change["before"], change["after"]
            was = f", was {_meaning(before)}" if before and name == "changed" else ""
            where = f"{after['domain']} {after['value']} of {after['system']}"
            plant = f" in {after['plant']}" if after["plant"] else ""
            yield visible(f"{sign} line {change['line']}: {where}{plant} is {_meaning(after)}{was}")
    for conflict in answer["conflicts"]:
        yield visible(f"! line {conflict['line']}: {conflict['message']}")


def _meaning(row: Mapping[str, Any]) -> str:
    from gateway.commands.terminal import moment

    start, end = moment(row.get("valid_from")), moment(row.get("valid_to"))
    dates = f" {start or '…'} to {end or '…'}" if start or end else ""
    return f"{row['canonical']}{dates}" + ("" if row["status"] == "approved" else f" ({row['status']})")


def _read(file: Path) -> bytes:
    from canonical.errors import ConfigError

    if str(file) == "-":
        return sys.stdin.buffer.read()
    try:
        return file.read_bytes()
    except OSError as error:
        raise ConfigError(f"{file}: {error.strerror}") from error
