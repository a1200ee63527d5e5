"""``crossplant sla``: what was promised and what came of it."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from gateway.commands.asking import DEFAULT_URL, AsJson, KeyFile, Url, ask

__all__ = ["sla"]


def sla(
    plant: Annotated[str | None, typer.Option(help="Only this plant; - is none.", metavar="P")] = None,
    window: Annotated[
        str | None, typer.Option(help="The time of the routes' figures: 1h, 24h, 7d.", metavar="T")
    ] = None,
    *,
    url: Url = DEFAULT_URL,
    key_file: KeyFile = None,
    as_json: AsJson = False,
) -> None:
    """Shows each service level with what is left of its budget, and what every route delivered.

    \b
    ok         kept
    attention  little of the budget is left, or it will be used up if all goes on as it does
    breached   missed
    -          nothing to judge by

    \b
    crossplant sla --plant aachen --window 1h
    """
    from urllib.parse import quote

    from gateway.commands.terminal import say, show_json, show_table

    path = "/v1/sla" if plant is None else f"/v1/sla/{quote(plant, safe='')}"
    found = ask(url, key_file).get(path, {"window": window})
    if as_json:
        show_json(found)
        return
    show_table(
        ("level", "plant", "status", "in time", "budget left", "failed", "oldest", "owner"),
        [
            (
                each["name"],
                each["plant"],
                each["status"] or "-",
                _in_time(each["latency"]),
                _budget(each["latency"]),
                _failed(each["failed_rate"]),
                _age((each["backlog_age"] or {}).get("oldest_age_s")),
                each["owner"] or "",
            )
            for each in found["levels"]
        ],
        none="no service level is configured for these plants",
    )
    say("")
    show_table(
        ("plant", "route", "delivered", "failed", "backlog", "oldest", "parked", "dead letters"),
        [
            (
                each["plant"],
                each["route"],
                each["delivered"],
                each["failed"],
                each["backlog"],
                _age(each["oldest_age_s"]),
                each["parked"],
                each["dead_letters"],
            )
            for each in found["routes"]
        ],
        none="nothing was delivered in this time, and nothing waits",
    )


def _in_time(latency: Any) -> str:
    if latency is None:
        return ""
    if latency["compliance"] is None:
        return "-"
    counts = f"{latency['good']}/{latency['total']}"
    return f"{counts} ({latency['compliance']:.2%}, {latency['share_wanted']:.2%} wanted)"


def _budget(latency: Any) -> str:
    if latency is None or latency["compliance"] is None:
        return ""
    share = latency["budget_left_share"]
    return f"{latency['budget_left']:g}" + ("" if share is None else f" ({share:.0%})")


def _failed(rate: Any) -> str:
    return "" if rate is None else f"{rate['failed']}/{rate['ended']}"


def _age(seconds: float | None) -> str:
    if seconds is None:
        return ""
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
