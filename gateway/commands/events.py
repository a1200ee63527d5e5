"""``crossplant events`` and ``crossplant trace``: what was said, and what became of it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gateway.commands.asking import DEFAULT_URL, AsJson, KeyFile, Url, ask

if TYPE_CHECKING:
    from gateway.commands.client import Client, Query

__all__ = ["events", "trace"]

_PREFIX = "com.crossplant."
_RETRY_S = 2.0
_MOST_TRACED = 20


def events(
    type_name: Annotated[
        str | None,
        typer.Option("--type", help="Only this type: inventory.moved, or the full one.", metavar="TYPE"),
    ] = None,
    plant: Annotated[str | None, typer.Option(help="Only this plant; - for events of none.")] = None,
    subject: Annotated[
        str | None, typer.Option(help="Only this subject: an order, a piece of equipment …")
    ] = None,
    since: Annotated[
        str | None,
        typer.Option(
            help="Recorded since then: 15m, 24h, 2026-03-02T06:00:00Z. Default: 1h.", metavar="WHEN"
        ),
    ] = None,
    until: Annotated[str | None, typer.Option(help="Recorded until then, likewise.", metavar="WHEN")] = None,
    limit: Annotated[int, typer.Option(min=1, help="So many at most.")] = 100,
    *,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Go on with what comes in, until Ctrl-C.")
    ] = False,
    url: Url = DEFAULT_URL,
    key_file: KeyFile = None,
    as_json: AsJson = False,
) -> None:
    """Lists events, oldest first; with --json one CloudEvent a line, with its position.

    \b
    crossplant events --type inventory.moved --plant brno --since 15m
    crossplant events --follow --json | jq .data
    """
    client = ask(url, key_file)
    wanted = {"type": type_name, "plant": plant, "subject": subject}
    if follow:
        found = _from_now_on(client, wanted, since)
    else:
        times = {"since": _moment("--since", since or "1h"), "until": _moment("--until", until)}
        found = client.items("/v1/events", {**wanted, **times, "limit": min(limit, 1000)}, at_most=limit)
    _show(found, as_json=as_json)


def _moment(option: str, when: str | None) -> str | None:
    from gateway.commands.moments import moment_of

    return None if when is None else moment_of(option, when)


def _from_now_on(client: Client, wanted: Query, since: str | None) -> Iterator[Any]:
    """What was recorded since then, if asked for, then what comes; goes on after an interruption."""
    import time

    from gateway.commands.client import GatewayError
    from gateway.commands.terminal import say

    last = ""
    if since is not None:
        for event in client.items("/v1/events", {**wanted, "since": _moment("--since", since)}):
            last = str(event["position"])
            yield event
    begun = False
    while True:
        try:
            for position, event in client.stream("/v1/events/stream", wanted, after=last):
                begun, last = True, position
                yield event
        except GatewayError as error:
            if not begun or error.status:
                raise
            say(f"{error.message}; trying again")
        begun = True
        time.sleep(_RETRY_S)


def _show(found: Iterator[Any], *, as_json: bool) -> None:
    from gateway.commands.terminal import moment, say, show, show_json, visible

    none = True
    try:
        for event in found:
            none = False
            if as_json:
                show_json(event, compact=True)
                continue
            at = moment(event.get("recordedtime") or event.get("time"))
            name = _suffix(event.get("type"))
            plant = event.get("plantid") or "-"
            show(f"{event['position']:>8}  {at}  {plant:<10} {name:<36} {visible(event.get('subject'))}")
    except KeyboardInterrupt:
        return
    if none and not as_json:
        say("no events; --since says how far back to look")


def _suffix(name: object) -> str:
    from gateway.commands.terminal import visible

    return visible(name).removeprefix(_PREFIX).removesuffix(".v1")


# ── trace ───────────────────────────────────────────────────────────────────────────────────────


def trace(
    key: Annotated[
        str, typer.Argument(help="A position, an event's id, an order, lot, ASN, SSCC …", metavar="KEY")
    ],
    *,
    url: Url = DEFAULT_URL,
    key_file: KeyFile = None,
    as_json: AsJson = False,
) -> None:
    """Tells what became of an event, from the bytes that came in to every delivery.

    \b
    crossplant trace 4711         all events of order 4711, oldest first
    crossplant trace 1803 --json  also finds the event at position 1803
    """
    from gateway.commands.client import GatewayError
    from gateway.commands.terminal import say, show, show_json

    client = ask(url, key_file)
    hits = list(client.items("/v1/search", {"q": key, "limit": _MOST_TRACED + 1}))
    if not hits:
        raise GatewayError(
            f"nothing here is called {key!r}: no position, event id or business key", status=404
        )
    positions = sorted(int(hit["position"]) for hit in hits[:_MOST_TRACED])
    timelines = [client.get(f"/v1/events/{position}/timeline") for position in positions]
    if as_json:
        show_json(timelines)
    else:
        for number, timeline in enumerate(timelines):
            if number:
                show()
            _show_timeline(timeline)
    if len(hits) > _MOST_TRACED:
        say(f"more than {_MOST_TRACED} events are called {key!r}: these are the newest")


def _show_timeline(timeline: Any) -> None:
    from gateway.commands.terminal import moment, show, show_json, visible

    event, raw = timeline["event"], timeline.get("raw")
    show(f"{_suffix(event.get('type'))}  {visible(event.get('subject'))}  at position {timeline['position']}")
    show(f"  source     {visible(event.get('source'))}  id {visible(event.get('id'))}")
    show(f"  happened   {moment(event.get('time')) or 'unknown'}")
    if raw is not None:
        known = [f"{name} {visible(value)}" for name, value in (raw.get("attributes") or {}).items()]
        show(
            "  ".join(
                [f"  came in    {moment(raw.get('received_at'))}  through {raw.get('adapter')}", *known]
            )
        )
        show(f"             {_excerpt(raw)}")
    show(f"  recorded   {moment(event.get('recordedtime'))}")
    show("  data       ", end="")
    show_json(event.get("data"), compact=True)
    for route in timeline.get("routes") or ():
        for line in _route_lines(route):
            show(line)
    for what, name in (("causes", "caused by"), ("effects", "led to")):
        for other in timeline.get(what) or ():
            show(f"  {name:<10} {_suffix(other.get('type'))}  at position {other.get('position')}")


_QUIET = ("not_matched",)


def _route_lines(route: Any) -> Iterator[str]:
    from gateway.commands.terminal import moment, visible

    if route.get("state") in _QUIET:
        return
    words = [f"  route      {visible(route.get('route'))}: {visible(route.get('state')).replace('_', ' ')}"]
    if route.get("at"):
        words.append(moment(route["at"]))
    if (route.get("attempts") or 0) > 1:
        words.append(f"after {route['attempts']} attempts")
    if route.get("receipt"):
        words.append(f"receipt {visible(route['receipt'])}")
    yield "  ".join(words)
    if route.get("error"):
        yield f"             {visible(route.get('code'))}: {visible(route['error'])}"
    if route.get("reason"):
        yield f"             {visible(route['reason'])}"
    if route.get("would_deliver"):
        yield f"             would deliver {_excerpt(route['would_deliver'])}"
    if route.get("due_at"):
        yield f"             tried again at {moment(route['due_at'])}"
    number = route.get("dead_letter")
    if number:
        yield f"             dead letter {number}: crossplant dead-letters show {number}"


def _excerpt(raw: Any, most: int = 400) -> str:
    from gateway.commands.terminal import visible

    text = raw.get("body")
    if text is None:
        return f"{raw.get('size_bytes', '?')} bytes that are no text"
    return visible(text[:most]) + (" …" if len(text) > most or raw.get("truncated") else "")
