"""``crossplant dead-letters retry --dry-run``: what a retry would do, without doing it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import typer

from gateway.commands.asking import ask

__all__ = ["dry_run"]

WORDS: Final = {
    "would_deliver": "would be delivered",
    "target_decides": "can be sent, the target decides",
    "would_park": "would wait for a code",
    "would_fail": "would fail again",
    "nothing_to_send": "nothing to send",
    "not_possible": "not possible",
}
_GOOD: Final = {"would_deliver", "target_decides", "nothing_to_send"}


def dry_run(
    numbers: list[int] | None,
    group: str | None,
    chosen: Mapping[str, str | None],
    url: str,
    key_file: Path | None,
    *,
    as_json: bool,
) -> None:
    """Shows it; exit code 1 when some would fail again, or park."""
    from canonical.errors import ConfigError
    from gateway.commands.terminal import say, show_json

    filters = {name: value for name, value in chosen.items() if value is not None}
    if bool(numbers) == bool(group or filters):
        raise ConfigError("say which: numbers, or --group, --route, --adapter")
    client = ask(url, key_file)
    if numbers:
        verdicts = [client.post(f"/v1/dead-letters/{number}/dry-run") for number in numbers]
        if as_json:
            show_json(verdicts)
        else:
            _tell_each(verdicts)
        _leave(sum(verdict["outcome"] not in _GOOD for verdict in verdicts))
        return
    wanted = ({"group": group} if group else {}) | ({"filter": filters} if filters else {})
    summary = client.post("/v1/dead-letters/dry-run", wanted)
    if as_json:
        show_json(summary)
    else:
        _tell_reasons(summary)
        say(f"{summary['tried']} of {summary['total']} looked at; nothing was delivered")
    _leave(sum(number for outcome, number in summary["outcomes"].items() if outcome not in _GOOD))


def _leave(bad: int) -> None:
    if bad:
        raise typer.Exit(1)


def _tell_each(verdicts: list[Any]) -> None:
    from gateway.commands.terminal import show, visible

    for verdict in verdicts:
        reason = f": {visible(verdict['reason'])}" if verdict["reason"] else ""
        show(f"{verdict['dead_letter']}  {WORDS[verdict['outcome']]}{reason}")
        for fault in verdict["errors"]:
            show(f"    {visible(fault['pointer'])} {visible(fault['detail'])}")
        for sent in verdict["sent"]:
            show(f"    {sent['route']} → {sent['to']}, {sent['content_type']}, {sent['size_bytes']} bytes")
            show("\n".join(f"    {visible(row)}" for row in str(sent.get("body", "")).splitlines()))


def _tell_reasons(summary: Any) -> None:
    from gateway.commands.terminal import show_table

    show_table(
        ("how many", "what would come of it", "where", "why", "like"),
        [
            (one["count"], WORDS[one["outcome"]], one["where"], one["reason"], one["example"])
            for one in summary["reasons"]
        ],
        none="no open dead letter is among them",
    )
