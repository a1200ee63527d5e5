"""``crossplant crosswalks``: the codes of one system in terms of another."""

from __future__ import annotations

from typing import Annotated

import typer

from gateway.commands.asking import DEFAULT_URL, AsJson, KeyFile, Url, ask

__all__ = ["crosswalks"]

crosswalks = typer.Typer(no_args_is_help=True)


@crosswalks.command("list", short_help="Lists crosswalk rows.")
def list_rows(
    domain: Annotated[str | None, typer.Option(help="Of this domain of codes, such as item.")] = None,
    system: Annotated[str | None, typer.Option(help="Of this system.")] = None,
    plant: Annotated[str | None, typer.Option(help="Of this plant.")] = None,
    value: Annotated[str | None, typer.Option(help="With this code of the system.")] = None,
    canonical: Annotated[str | None, typer.Option(help="With this canonical code.")] = None,
    *,
    url: Url = DEFAULT_URL,
    key_file: KeyFile = None,
    as_json: AsJson = False,
) -> None:
    """Lists crosswalk rows, oldest first.

    \b
    crossplant crosswalks list --system wms --domain item
    """
    from gateway.commands.terminal import moment, show_json, show_table

    wanted = {"domain": domain, "system": system, "plant": plant, "value": value, "canonical": canonical}
    found = list(ask(url, key_file).items("/v1/crosswalks", wanted))
    if as_json:
        show_json(found)
        return
    show_table(
        ("domain", "system", "plant", "value", "canonical", "valid from", "valid to", "status", "origin"),
        [
            (
                row["domain"],
                row["system"],
                row.get("plant") or "all",
                row["value"],
                row["canonical"],
                moment(row.get("valid_from")),
                moment(row.get("valid_to")),
                row.get("status"),
                row.get("origin"),
            )
            for row in found
        ],
        none="no crosswalk rows",
    )


@crosswalks.command(short_help="Adds a row; what was parked for it is delivered.")
def add(
    domain: Annotated[str, typer.Argument(help="The domain of codes, such as item.", metavar="DOMAIN")],
    system: Annotated[str, typer.Argument(help="The system whose code it is.", metavar="SYSTEM")],
    value: Annotated[str, typer.Argument(help="The system's code.", metavar="VALUE")],
    canonical: Annotated[str, typer.Argument(help="The canonical code.", metavar="CANONICAL")],
    plant: Annotated[str | None, typer.Option(help="In this plant only. Default: everywhere.")] = None,
    valid_from: Annotated[str | None, typer.Option(help="From then on, RFC 3339.", metavar="TIME")] = None,
    valid_to: Annotated[str | None, typer.Option(help="Until then, RFC 3339.", metavar="TIME")] = None,
    *,
    url: Url = DEFAULT_URL,
    key_file: KeyFile = None,
    as_json: AsJson = False,
) -> None:
    """Adds a row: what a system's code means. What was parked for this code is delivered, in order.

    \b
    crossplant crosswalks add item wms 700-0099 VALVE-BLOCK-9
    crossplant crosswalks add item aachen-mes A-4999 VALVE-BLOCK-9 --plant aachen
    """
    from gateway.commands.terminal import say, show_json

    row = {"domain": domain, "system": system, "value": value, "canonical": canonical}
    more = {"plant": plant, "valid_from": valid_from, "valid_to": valid_to}
    wanted = row | {name: given for name, given in more.items() if given is not None}
    answer = ask(url, key_file).post("/v1/crosswalks", wanted)
    if as_json:
        show_json(answer)
    else:
        say(f"added; it let {answer.get('released', 0)} blocked key(s) go")
