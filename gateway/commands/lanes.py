"""``crossplant lanes``: keys that are blocked on a route."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from gateway.commands.asking import DEFAULT_URL, AsJson, KeyFile, Reason, Url, ask, because

__all__ = ["lanes"]

lanes = typer.Typer(no_args_is_help=True)


@lanes.command("list", short_help="Lists the blocked keys.")
def list_lanes(
    route: Annotated[str | None, typer.Option(help="Of this route.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="So many at most.")] = 100,
    *,
    url: Url = DEFAULT_URL,
    key_file: KeyFile = None,
    as_json: AsJson = False,
) -> None:
    """Lists the keys that are blocked on a route, longest first, and what each waits for.

    \b
    retrying   tried again by itself
    parked     a code has no crosswalk row: crossplant crosswalks add
    dead       a dead letter: crossplant dead-letters show
    """
    from gateway.commands.terminal import moment, show_json, show_table

    wanted = {"route": route, "limit": min(limit, 1000)}
    found = list(ask(url, key_file).items("/v1/lanes", wanted, at_most=limit))
    if as_json:
        show_json(found)
        return
    show_table(
        ("route", "key", "state", "events", "since", "waits for"),
        [
            (
                one["route"],
                one["key"],
                one["state"],
                one["size"],
                moment(one.get("entered_at")),
                _waits_for(one),
            )
            for one in found
        ],
        none="no key is blocked",
    )


def _waits_for(lane: Any) -> str:
    missing = lane.get("missing")
    if missing:
        return f"a crosswalk row: {missing['domain']} {missing['value']!r} of {missing['system']}"
    if lane.get("dead_letter"):
        return f"dead letter {lane['dead_letter']}: {lane.get('error')}"
    return str(lane.get("error") or "")


@lanes.command(short_help="Shows what waits in one.")
def show(
    route: Annotated[str, typer.Argument(help="The route.", metavar="ROUTE")],
    key: Annotated[str, typer.Argument(help="The key, as `lanes list` shows it.", metavar="KEY")],
    limit: Annotated[int, typer.Option(min=1, help="So many at most.")] = 100,
    *,
    url: Url = DEFAULT_URL,
    key_file: KeyFile = None,
    as_json: AsJson = False,
) -> None:
    """Shows the events that wait in a lane, in the order in which they will be delivered, the head first.

    \b
    crossplant lanes show pick-lists AAC-100007
    """
    from gateway.commands.terminal import moment, show_json, show_table

    wanted: dict[str, str | int | None] = {"route": route, "key": key, "limit": min(limit, 1000)}
    found = list(ask(url, key_file).items("/v1/lanes/waiting", wanted, at_most=limit))
    if as_json:
        show_json(found)
        return
    show_table(
        ("position", "type", "subject", "state", "since"),
        [
            (
                one["position"],
                one["type"],
                one["subject"] or "",
                one["state"],
                moment(one.get("entered_at")),
            )
            for one in found
        ],
        none="nothing waits",
    )


@lanes.command(short_help="Lets a blocked key try again now.")
def release(
    route: Annotated[str, typer.Argument(help="The route.", metavar="ROUTE")],
    key: Annotated[str, typer.Argument(help="The key, as `lanes list` shows it.", metavar="KEY")],
    *,
    reason: Reason = "",
    url: Url = DEFAULT_URL,
    key_file: KeyFile = None,
    as_json: AsJson = False,
) -> None:
    """Lets a blocked key try again now; when its first event is delivered, the others follow in order.

    \b
    crossplant lanes release pick-lists AAC-100007
    """
    from gateway.commands.terminal import say, show_json

    wanted = {"route": route, "key": key, **because(reason)}
    answer = ask(url, key_file).post("/v1/lanes/release", wanted)
    if as_json:
        show_json(answer)
    else:
        say(f"{answer['released']} waiting; `crossplant lanes list` shows what stays blocked")
