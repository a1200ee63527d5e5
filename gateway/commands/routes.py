"""``crossplant routes``: what each route is doing, and the end of one."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from gateway.commands.asking import DEFAULT_URL, AsJson, KeyFile, Url, ask

__all__ = ["routes"]

routes = typer.Typer(no_args_is_help=True)


@routes.command("list", short_help="Lists the routes and what each is doing.")
def list_routes(url: Url = DEFAULT_URL, key_file: KeyFile = None, *, as_json: AsJson = False) -> None:
    """Lists the routes: flowing, or paused because the target is away; how many events wait, since when.

    What is parked or blocked is not among those that wait: see `crossplant lanes list`. What a guarantee
    rests on, and what keeps it from being better, is in `--json`.

    \b
    crossplant routes list
    """
    from gateway.commands.terminal import moment, show_json, show_table

    found = list(ask(url, key_file).items("/v1/routes"))
    if as_json:
        show_json(found)
        return
    show_table(
        ("route", "to", "guarantee", "state", "waiting", "oldest", "reason"),
        [
            (
                one.get("name"),
                one.get("to"),
                str((one.get("guarantee") or {}).get("level") or "").replace("_", " "),
                f"{one.get('state')} (shadow)" if one.get("mode") == "shadow" else one.get("state"),
                _waiting(one),
                moment(one.get("oldest_at")),
                one.get("reason"),
            )
            for one in found
        ],
        none="no routes are configured",
    )


@routes.command(short_help="Gives up the place of a route that is configured no more.")
def forget(
    name: Annotated[str, typer.Argument(help="The route that was taken out.", metavar="ROUTE")],
    url: Url = DEFAULT_URL,
    key_file: KeyFile = None,
) -> None:
    """Gives up the place of a route that is configured no more: it would hold history back for ever.

    Refused while it is configured, or still has something in its lanes. For admins.

    \b
    crossplant routes forget asn-to-old-erp
    """
    from urllib.parse import quote

    from gateway.commands.terminal import say

    ask(url, key_file).post(f"/v1/routes/{quote(name, safe='')}/forget")
    say(f"route {name!r} is forgotten")


def _waiting(route: Any) -> int:
    return sum(int(part.get("events", 0)) for part in route.get("backlog") or ())
