"""``crossplant audit``: who did what, and whether the record of it is whole."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from gateway.commands.asking import DEFAULT_URL, AsJson, KeyFile, Url, ask

__all__ = ["audit"]

audit = typer.Typer(no_args_is_help=True)

_SHOWN = 200


@audit.command("list", short_help="Lists who did what, newest first.")
def list_acts(
    subject: Annotated[str, typer.Option(help="Only what was done to it, such as key/k7d2m9.")] = "",
    actor: Annotated[str, typer.Option(help="Only what they did: a key's name, or local:USER.")] = "",
    limit: Annotated[int, typer.Option(min=1, help="At most so many.")] = _SHOWN,
    url: Url = DEFAULT_URL,
    key_file: KeyFile = None,
    *,
    as_json: AsJson = False,
) -> None:
    """Lists acts of people and keys, newest first. For admins.

    \b
    crossplant audit list --subject dead_letter/17
    """
    from gateway.commands.terminal import moment, show_json, show_table

    given = {name: value for name, value in (("subject", subject), ("actor", actor)) if value}
    found = list(ask(url, key_file).items("/v1/audit", given, at_most=limit))
    if as_json:
        show_json(found)
        return
    show_table(
        ("no", "at", "who", "act", "to", "details"),
        [
            (one["id"], moment(one["at"]), one["actor"], one["act"], one["subject"], one["details"])
            for one in found
        ],
        none="nobody did anything yet",
    )


@audit.command(short_help="Tells whether rows were deleted, edited, moved or cut off.")
def verify(
    data: Annotated[
        Path | None,
        typer.Option(
            "--data",
            metavar="DIR",
            help="On the hub's own machine: its data folder, while no hub runs on it.",
        ),
    ] = None,
    head: Annotated[
        str,
        typer.Option(help="A seal that an earlier verify told: must be in the chain still.", metavar="SEAL"),
    ] = "",
    url: Url = DEFAULT_URL,
    key_file: KeyFile = None,
    *,
    as_json: AsJson = False,
) -> None:
    """Checks the seals of the whole audit; exit code 1 when something is wrong.

    Keep the seal that it tells outside of the machine: with --head a later check proves that nothing up to
    there was replaced, even by somebody who has the hub's key.

    \b
    crossplant audit verify
    crossplant audit verify --data data --head 9f2c…
    """
    from gateway.commands.terminal import say, show, show_json

    found = _here(data, head) if data is not None else _asked(url, key_file, head)
    if as_json:
        show_json(found)
    else:
        for finding in found["findings"]:
            show(finding)
        if found["head"]:
            kept = found["head"]
            say(f"rows {kept['first']} to {kept['last']} are sealed; the newest seal is {kept['seal']}")
        else:
            say("the audit has no sealed rows yet")
    if found["findings"]:
        raise typer.Exit(1)


def _asked(url: str, key_file: Path | None, head: str) -> Any:
    return ask(url, key_file).get("/v1/audit/verify", {"seal": head} if head else {})


def _here(data: Path, head: str) -> dict[str, Any]:
    from gateway import local

    return local.verified(data, head)
