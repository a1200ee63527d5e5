"""``crossplant crosswalks``: the codes of one system in terms of another."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import typer

from gateway.commands.asking import DEFAULT_URL, AsJson, KeyFile, Url, ask
from gateway.commands.crosswalk_import import load

__all__ = ["crosswalks"]

crosswalks = typer.Typer(no_args_is_help=True)

Number = Annotated[int, typer.Argument(help="The row's number.", min=1, metavar="NUMBER")]
Why = Annotated[str, typer.Option(help="Why; it stands in the row's history.", metavar="TEXT")]
_HEADINGS = (
    "row",
    "domain",
    "system",
    "plant",
    "value",
    "canonical",
    "valid from",
    "valid to",
    "status",
    "by",
)


@crosswalks.command("list", short_help="Lists crosswalk rows.")
def list_rows(
    domain: Annotated[str | None, typer.Option(help="Of this domain of codes, such as item.")] = None,
    system: Annotated[str | None, typer.Option(help="Of this system.")] = None,
    plant: Annotated[str | None, typer.Option(help="Of this plant.")] = None,
    value: Annotated[str | None, typer.Option(help="With this code of the system.")] = None,
    canonical: Annotated[str | None, typer.Option(help="With this canonical code.")] = None,
    status: Annotated[str | None, typer.Option(help="draft, approved or retired.")] = None,
    as_of: Annotated[
        str | None, typer.Option(help="Only those that hold then, RFC 3339.", metavar="TIME")
    ] = None,
    *,
    url: Url = DEFAULT_URL,
    key_file: KeyFile = None,
    as_json: AsJson = False,
) -> None:
    """Lists crosswalk rows, oldest first.

    \b
    crossplant crosswalks list --system wms --domain item
    crossplant crosswalks list --status draft
    """
    from gateway.commands.terminal import show_json, show_table

    wanted = {
        "domain": domain,
        "system": system,
        "plant": plant,
        "value": value,
        "canonical": canonical,
        "status": status,
        "as_of": as_of,
    }
    found = list(ask(url, key_file).items("/v1/crosswalks", wanted))
    if as_json:
        show_json(found)
        return
    show_table(_HEADINGS, [_cells(row) for row in found], none="no crosswalk rows")


def _cells(row: Mapping[str, Any]) -> tuple[object, ...]:
    from gateway.commands.terminal import moment

    return (
        row["id"],
        row["domain"],
        row["system"],
        row.get("plant") or "all",
        row["value"],
        row["canonical"],
        moment(row.get("valid_from")),
        moment(row.get("valid_to")),
        row.get("status"),
        row.get("approved_by") or row.get("steward") or row.get("origin"),
    )


@crosswalks.command(short_help="Adds a row; what was parked for it is delivered.")
def add(
    domain: Annotated[str, typer.Argument(help="The domain of codes, such as item.", metavar="DOMAIN")],
    system: Annotated[str, typer.Argument(help="The system whose code it is.", metavar="SYSTEM")],
    value: Annotated[str, typer.Argument(help="The system's code.", metavar="VALUE")],
    canonical: Annotated[str, typer.Argument(help="What it means.", metavar="CANONICAL")],
    plant: Annotated[str | None, typer.Option(help="In this plant only. Default: everywhere.")] = None,
    valid_from: Annotated[str | None, typer.Option(help="From then on, RFC 3339.", metavar="TIME")] = None,
    valid_to: Annotated[str | None, typer.Option(help="Until then, RFC 3339.", metavar="TIME")] = None,
    draft: Annotated[bool, typer.Option("--draft", help="Only propose it; it has no effect yet.")] = False,
    why: Why = "",
    *,
    url: Url = DEFAULT_URL,
    key_file: KeyFile = None,
    as_json: AsJson = False,
) -> None:
    """Adds a row: what a system's code means. What was parked for this code is delivered, in order.

    Of domain package a row says what is in an item's package: the system is the item.

    \b
    crossplant crosswalks add item wms 700-0099 VALVE-BLOCK-9
    crossplant crosswalks add item aachen-mes A-4999 VALVE-BLOCK-9 --plant aachen --draft
    crossplant crosswalks add package VALVE-BLOCK-9 CT "12 EA" --valid-from 2026-04-01T00:00:00Z
    """
    from gateway.commands.terminal import say, show_json

    row = {"domain": domain, "system": system, "value": value, "canonical": canonical, "why": why}
    more = {
        "plant": plant,
        "valid_from": valid_from,
        "valid_to": valid_to,
        "status": "draft" if draft else None,
    }
    wanted = row | {name: given for name, given in more.items() if given is not None}
    answer = ask(url, key_file).post("/v1/crosswalks", wanted)
    if as_json:
        show_json(answer)
    elif draft:
        say(f"proposed as row {answer['id']}; crossplant crosswalks approve {answer['id']}")
    else:
        say(f"added as row {answer['id']}; it let {answer.get('released', 0)} blocked key(s) go")


@crosswalks.command(short_help="Lets a draft take effect.")
def approve(
    number: Number,
    why: Why = "",
    *,
    url: Url = DEFAULT_URL,
    key_file: KeyFile = None,
) -> None:
    """Lets a draft take effect. What was parked for its code is delivered, in order.

    \b
    crossplant crosswalks approve 17
    """
    from gateway.commands.terminal import say

    answer = ask(url, key_file).post(f"/v1/crosswalks/{number}/approve", {"why": why})
    say(f"approved; it let {answer.get('released', 0)} blocked key(s) go")


@crosswalks.command(short_help="Ends a row, or gives a draft up.")
def retire(
    number: Number,
    why: Annotated[str, typer.Option(help="Why; it stands in the row's history.", metavar="TEXT")],
    valid_to: Annotated[
        str | None, typer.Option(help="It holds until then, RFC 3339. Default: now.", metavar="TIME")
    ] = None,
    never: Annotated[bool, typer.Option("--never", help="It was wrong from the start.")] = False,
    *,
    url: Url = DEFAULT_URL,
    key_file: KeyFile = None,
) -> None:
    """Ends a row, or gives a draft up. The row stays, for what happened while it held.

    \b
    crossplant crosswalks retire 17 --why "the item is discontinued" --valid-to 2026-04-01T00:00:00Z
    """
    from gateway.commands.terminal import say

    body = {"why": why, "never": never} | ({"valid_to": valid_to} if valid_to else {})
    answer = ask(url, key_file).post(f"/v1/crosswalks/{number}/retire", body)
    end = answer.get("valid_to")
    say(f"retired; it holds until {end}" if end else "retired; it never holds")


@crosswalks.command(short_help="Shows what was done to a row, by whom, why.")
def history(
    number: Number, *, url: Url = DEFAULT_URL, key_file: KeyFile = None, as_json: AsJson = False
) -> None:
    """Shows what was done to a row, by whom and why, oldest first.

    \b
    crossplant crosswalks history 17
    """
    from gateway.commands.terminal import moment, show_json, show_table

    steps = list(ask(url, key_file).items(f"/v1/crosswalks/{number}/history"))
    if as_json:
        show_json(steps)
        return
    show_table(
        ("at", "by", "act", "canonical", "valid to", "status", "why"),
        [
            (
                moment(step["at"]),
                step["actor"],
                step["act"],
                step["state"]["canonical"],
                moment(step["state"].get("valid_to")),
                step["state"]["status"],
                step["why"],
            )
            for step in steps
        ],
    )


@crosswalks.command(short_help="Proposes what an unknown code may mean.")
def candidates(
    domain: Annotated[str, typer.Argument(help="The domain of codes, such as item.", metavar="DOMAIN")],
    system: Annotated[str, typer.Argument(help="The system whose code it is.", metavar="SYSTEM")],
    value: Annotated[str, typer.Argument(help="The unknown code.", metavar="VALUE")],
    *,
    url: Url = DEFAULT_URL,
    key_file: KeyFile = None,
    as_json: AsJson = False,
) -> None:
    """Proposes what an unknown code may mean, with the reason, the likeliest first. It changes nothing.

    \b
    crossplant crosswalks candidates item wms 700-0099
    """
    from gateway.commands.terminal import show_json, show_table

    wanted = {"domain": domain, "system": system, "value": value}
    answer = ask(url, key_file).get("/v1/crosswalks/candidates", wanted)
    if as_json:
        show_json(answer)
        return
    show_table(
        ("code", "score", "because"),
        [(each["code"], f"{each['score']:.2f}", each["reason"]) for each in answer["items"]],
        none="nothing is like it",
    )


crosswalks.command("import", short_help="Imports rows from a CSV file, once its changes were seen.")(load)
