"""``crossplant replay``: history through a route again, to see or to deliver."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from gateway.commands.asking import DEFAULT_URL, AsJson, KeyFile, Url, ask

if TYPE_CHECKING:
    from gateway.commands.client import Client

__all__ = ["replay"]

_LOOK_S: Final = 1.0
_SHOWN: Final = 3
_WORDS: Final = {
    "unchanged": "unchanged",
    "changed": "changed",
    "added": "would be delivered, and was not",
    "removed": "was delivered, and would not be",
    "failing": "would fail",
    "unknown": "cannot be made again as it was",
    "delivered": "delivered",
    "left_out": "left out by the route's condition",
    "passed_over": "passed over (in a lane, or discarded)",
    "failed": "failed",
    "held_back": "held back behind a failed one",
}


def replay(
    route: Annotated[str, typer.Option("--route", help="The route.", metavar="ROUTE")],
    since: Annotated[
        str,
        typer.Option(help="Events taken in since then: 24h, 2026-03-02T06:00:00Z.", metavar="WHEN"),
    ],
    until: Annotated[
        str | None, typer.Option(help="And before then. Default: all that is settled.", metavar="WHEN")
    ] = None,
    *,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Delivers nothing; shows what would be otherwise.")
    ] = False,
    config: Annotated[
        Path | None,
        typer.Option(
            "--config",
            help="With --dry-run: the changed deployment. Default: the one that runs.",
            metavar="PATH",
        ),
    ] = None,
    export: Annotated[
        Path | None,
        typer.Option(help="With --dry-run: every difference, as .ndjson or .csv.", metavar="FILE"),
    ] = None,
    rate: Annotated[float, typer.Option(help="Deliveries a second, at most.")] = 10.0,
    as_new: Annotated[
        bool, typer.Option("--as-new", help="Under other idempotency keys: targets take all of it again.")
    ] = False,
    url: Url = DEFAULT_URL,
    key_file: KeyFile = None,
    as_json: AsJson = False,
) -> None:
    """Puts a stretch of history through a route again.

    With --dry-run nothing is delivered: what the configuration at --config would make of each event is held
    against what was delivered, by field. Exit code 1 when some would fail.

    Without it, the events are delivered again, in order per key, under the same idempotency keys, so that a
    target that keeps them ignores what it has. What waits in lanes or was discarded is passed over. Ctrl-C
    ends the command, not the replay. Exit code 1 when some failed.

    \b
    crossplant replay --route asn-to-erp --since 7d --dry-run --config hub/
    crossplant replay --route asn-to-erp --since 7d --dry-run --config hub/ --export differences.csv
    crossplant replay --route asn-to-erp --since 24h --rate 50
    """
    from gateway.commands.moments import moment_of
    from gateway.commands.terminal import say, show, show_json, visible

    _refuse_mixed(dry_run=dry_run, config=config, export=export)
    body: dict[str, Any] = {"route": route, "since": moment_of("--since", since), "dry_run": dry_run}
    if until is not None:
        body["until"] = moment_of("--until", until)
    body |= _changed(route, config) if config is not None else {}
    if not dry_run:
        body |= {"rate": rate, "as_new": as_new}
    client = ask(url, key_file)
    found = _followed(client, client.post("/v1/replays", body))
    if export is not None:
        _export(client, found, export)
    if as_json:
        show_json(found)
    else:
        for line in _lines(found):
            show(visible(line))
        say(_summary(found))
    counts = found["result"].get("counts", {})
    if found["state"] != "done" or counts.get("failing") or counts.get("failed"):
        raise typer.Exit(1)


def _refuse_mixed(*, dry_run: bool, config: Path | None, export: Path | None) -> None:
    from canonical.errors import ConfigError

    if not dry_run and (config is not None or export is not None):
        raise ConfigError("--config and --export are for --dry-run; load a configuration to deliver with it")
    if export is not None and export.suffix not in (".ndjson", ".csv"):
        raise ConfigError(f"--export {export}: write a name that ends with .ndjson or .csv")


def _changed(route: str, config: Path) -> dict[str, Any]:
    """The route and the code tables of a deployment that was read and checked. Raises ConfigErrors."""
    import msgspec

    from canonical.errors import ConfigError
    from config.findings import did_you_mean
    from config.load import load
    from gateway import recipes
    from gateway.compile import crosswalk_rows

    deployment = load(config)
    if route not in deployment.routes:
        hint = did_you_mean(route, deployment.routes, otherwise="it has")
        raise ConfigError(f"{config} has no route {route!r}{hint}", file=str(config))
    changed = {"recipe": msgspec.to_builtins(recipes.written(route, deployment))}
    if deployment.crosswalks:
        changed["crosswalk"] = msgspec.to_builtins(crosswalk_rows(deployment))
    return changed


def _followed(client: Client, found: Any) -> Any:
    """The replay once it has ended, or was stopped; told on stderr meanwhile."""
    told = 0
    while found["state"] == "running":
        done = _percent(found)
        if sys.stderr.isatty():
            sys.stderr.write(f"\rreplay {found['id']}: {done} %\x1b[K")
        elif done >= told + 10:
            told = done
            sys.stderr.write(f"replay {found['id']}: {done} %\n")
        sys.stderr.flush()
        time.sleep(_LOOK_S)
        found = client.get(f"/v1/replays/{found['id']}")
    if sys.stderr.isatty():
        sys.stderr.write("\r\x1b[K")
    return found


def _percent(found: Any) -> int:
    whole = max(found["last"] - found["first"] + 1, 1)
    return int(100 * (found["reached"] - found["first"] + 1) / whole)


def _export(client: Client, found: Any, path: Path) -> None:
    from canonical.errors import ConfigError

    query = {"format": path.suffix.removeprefix(".")}
    try:
        with path.open("wb") as file:
            for part in client.download(f"/v1/replays/{found['id']}/differences", query):
                file.write(part)
    except OSError as error:
        raise ConfigError(f"--export {path}: cannot be written: {error.strerror}") from error


def _lines(found: Any) -> Iterator[str]:
    result = found["result"]
    for field in result.get("fields", ()):
        yield f"{field['field'] or '(all of it)'}: {_number(field['events'], 'event')}"
        for example in field["examples"][:_SHOWN]:
            yield f"    {example['position']}: {_side(example, 'before')} → {_side(example, 'after')}"
    for kind, examples in result.get("examples", {}).items():
        for example in examples[:_SHOWN]:
            told = example.get("error") or _side(example, "after" if "after" in example else "before")
            yield f"{_WORDS[kind]}: {example['position']}: {told}"


def _side(example: Any, side: str) -> str:
    import json

    return json.dumps(example[side], ensure_ascii=False) if side in example else "nothing"


def _summary(found: Any) -> str:
    counts = found["result"].get("counts", {})
    parts = [f"{number} {_WORDS[kind]}" for kind, number in counts.items() if number]
    what = "dry run" if found["asked"]["dry_run"] else "replay"
    problem = f"; {found['problem']}" if found["problem"] else ""
    return f"{what} {found['id']} {found['state']}: {', '.join(parts) or 'no event of the route'}{problem}"


def _number(count: int, what: str) -> str:
    return f"{count} {what}{'' if count == 1 else 's'}"
