"""``crossplant tap``: what comes in through one adapter of a running hub, live."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gateway.commands.asking import DEFAULT_URL, AsJson, KeyFile, Url, ask

if TYPE_CHECKING:
    from gateway.commands.client import Client

__all__ = ["tap"]

_DEAD = "com.crossplant.integration.message.dead_lettered.v1"


def tap(
    adapter: Annotated[str, typer.Argument(help="The adapter's name.", metavar="ADAPTER")],
    count: Annotated[
        int | None, typer.Option("--count", "-n", min=1, help="End after so many; default: Ctrl-C.")
    ] = None,
    url: Url = DEFAULT_URL,
    key_file: KeyFile = None,
    *,
    raw: Annotated[bool, typer.Option("--raw", help="The messages as they came, too.")] = False,
    as_json: AsJson = False,
) -> None:
    """Shows what comes in through an adapter of a running hub, from now on: each event with its data, and
    messages that were refused. Reads only; what comes before or meanwhile is in `crossplant events`.

    \b
    crossplant tap aachen-press
    crossplant tap nordstahl-inbox --raw -n 1
    crossplant tap mes --json | jq .data
    """
    from canonical.errors import ConfigError
    from gateway.commands.terminal import say

    client = ask(url, key_file)
    known = {one["name"]: one for one in client.items("/v1/adapters")}
    if adapter not in known:
        raise ConfigError(
            f"no adapter {adapter!r}, or not for this key; there are: {', '.join(known) or 'none'}"
        )
    about = known[adapter]
    if not about["receives"]:
        raise ConfigError(f"nothing comes in through {adapter!r}: it only delivers")
    say(f"{adapter} ({about['kind']}): {about['detail']}; Ctrl-C ends")
    seen = 0
    try:
        for event in _coming(client, about):
            _show(client, event, raw=raw, as_json=as_json)
            seen += 1
            if seen == count:
                return
    except KeyboardInterrupt:
        return


def _coming(client: Client, adapter: Any) -> Iterator[Any]:
    """The adapter's events, and the hub's own about messages of it that were refused."""
    refusals = f"/hub/adapters/{adapter['name']}"
    wanted = {"plant": adapter["plant"]} if adapter["plant"] else {}
    last = ""
    while True:
        for position, event in client.stream("/v1/events/stream", wanted, after=last):
            last = position
            if event.get("source") in {adapter["source"], refusals}:
                yield event


def _show(client: Client, event: Any, *, raw: bool, as_json: bool) -> None:
    from gateway.commands.terminal import moment, show, show_json, visible

    refused = event.get("type") == _DEAD
    message = None
    if raw and not refused:
        message = client.get(f"/v1/events/{event['position']}/timeline")["raw"]
    if as_json:
        show_json(event | ({"raw": message} if raw else {}), compact=True)
        return
    at, data = moment(event.get("recordedtime")), event.get("data") or {}
    if message is not None:
        show(f"{at}  < {visible(message.get('body', message.get('body_base64', '')))}")
    if refused:
        show(f"{at}  refused: {visible(data.get('error_class'))}: {visible(data.get('error'))}")
        return
    name = str(event.get("type", "")).removeprefix("com.crossplant.")
    show(f"{at}  {event['position']}  {visible(name)}  {visible(event.get('subject'))}  {visible(data)}")
