"""``crossplant dead-letters groups`` and ``retries``: what failed alike, and the retry of many."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from gateway.commands.asking import DEFAULT_URL, AsJson, KeyFile, Reason, Url, ask, because

if TYPE_CHECKING:
    from gateway.commands.client import Client

__all__ = ["begin", "groups", "retries"]

_LOOK_S: Final = 1.0
_PARTS: Final = ("waiting", "under_way", "recovered", "failed", "passed_over", "arrived")


def groups(
    route: Annotated[str, typer.Option(help="Only of this route.")] = "",
    plant: Annotated[str, typer.Option(help="Only of this plant.")] = "",
    url: Url = DEFAULT_URL,
    key_file: KeyFile = None,
    *,
    as_json: AsJson = False,
) -> None:
    """Lists what failed alike: how many wait for a person, since when, what is wrong.

    \b
    crossplant dead-letters groups --plant aachen
    """
    from gateway.commands.terminal import moment, show_json, show_table

    given = {name: value for name, value in (("route", route), ("plant", plant)) if value}
    found = list(ask(url, key_file).items("/v1/dead-letters/groups", given))
    if as_json:
        show_json(found)
        return
    show_table(
        ("group", "open", "last 24 h", "where", "first at", "last at", "what is wrong"),
        [
            (
                one["fingerprint"],
                one["open"],
                sum(one["trend"]),
                one["route"] or one["adapter"],
                moment(one["first_at"]),
                moment(one["last_at"]),
                one["error"],
            )
            for one in found
        ],
        none="nothing waits for a person",
    )


def retries(
    stop: Annotated[int | None, typer.Option(help="Tries nothing more of this one.", metavar="NO")] = None,
    resume: Annotated[int | None, typer.Option(help="Goes on with this one.", metavar="NO")] = None,
    reason: Reason = "",
    url: Url = DEFAULT_URL,
    key_file: KeyFile = None,
    *,
    as_json: AsJson = False,
) -> None:
    """Lists the retries of many, newest first; or stops, or resumes one.

    \b
    crossplant dead-letters retries
    crossplant dead-letters retries --stop 3 --reason "the target is slow"
    """
    from gateway.commands.terminal import moment, show_json, show_table

    client = ask(url, key_file)
    for act, number in (("stop", stop), ("resume", resume)):
        if number is not None:
            client.post(f"/v1/dead-letters/retries/{number}/{act}", because(reason))
    found = list(client.items("/v1/dead-letters/retries"))
    if as_json:
        show_json(found)
        return
    show_table(
        ("no", "state", "by", "at", "total", *(part.replace("_", " ") for part in _PARTS), "problem"),
        [
            (
                *(one["id"], one["state"], one["by"], moment(one["at"]), one["total"]),
                *(one[part] for part in _PARTS),
                one["problem"],
            )
            for one in found
        ],
        none="no retry of many was begun",
    )


def begin(
    group: str | None,
    chosen: Mapping[str, str | None],
    rate: float,
    url: str,
    key_file: Path | None,
    *,
    numbers: list[int] | None,
    reason: str = "",
    as_json: bool,
) -> None:
    """Begins one and shows how far it is until it ends; exit code 1 when some failed."""
    from canonical.errors import ConfigError
    from gateway.commands.terminal import say, show_json

    wanted = {name: value for name, value in chosen.items() if value is not None}
    if numbers or not (group or wanted):
        raise ConfigError("--rate is for a group or filter: --group, --route or --adapter")
    client = ask(url, key_file)
    body: dict[str, Any] = {"rate": rate, **because(reason)}
    body |= ({"group": group} if group else {}) | ({"filter": wanted} if wanted else {})
    progress = _followed(client, client.post("/v1/dead-letters/retries", body))
    if as_json:
        show_json(progress)
    say(_words(progress) + (f"; {progress['problem']}" if progress["problem"] else ""))
    if progress["failed"] or progress["passed_over"]:
        raise typer.Exit(1)


def _followed(client: Client, progress: Any) -> Any:
    """The progress once the retry is over, or was stopped."""
    while progress["state"] == "running" or progress["under_way"]:
        if sys.stderr.isatty():
            sys.stderr.write(f"\r{_words(progress)}\x1b[K")
            sys.stderr.flush()
        time.sleep(_LOOK_S)
        progress = client.get(f"/v1/dead-letters/retries/{progress['id']}")
    if sys.stderr.isatty():
        sys.stderr.write("\r\x1b[K")
    return progress


def _words(progress: Any) -> str:
    parts = ", ".join(f"{progress[part]} {part.replace('_', ' ')}" for part in _PARTS if progress[part])
    return f"retry {progress['id']} {progress['state']}: {parts} of {progress['total']}"
