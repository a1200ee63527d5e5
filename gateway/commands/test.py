"""``crossplant test``: the deployment's own cases, and cases made of real messages."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gateway.commands.asking import DEFAULT_URL, AsJson, KeyFile, Url, ask
from gateway.commands.check import Config

if TYPE_CHECKING:
    from gateway.cases import Bench, Verdict

__all__ = ["cases"]

Record = Annotated[
    str | None,
    typer.Option(
        help="Makes a case of a message that a running hub took in: an event's position, or dead-letter/7.",
        metavar="WHICH",
    ),
]


def cases(
    config: Config,
    junit: Annotated[
        Path | None, typer.Option(help="Writes the results as JUnit XML, too.", metavar="FILE")
    ] = None,
    record: Record = None,
    url: Url = DEFAULT_URL,
    key_file: KeyFile = None,
    *,
    as_json: AsJson = False,
) -> None:
    """Runs the cases below `tests:` of a deployment: a message goes through decoder, codes and routes, and
    the events and deliveries that come of it are held against those expected. No network, no data
    folder; nothing is delivered. Exit code 1: a case failed.

    \b
    crossplant test --config hub/
    crossplant test --config hub/ --junit results.xml

    --record asks a running hub for a message, masks secrets and names in it, keeps it in cases/ beside the
    deployment, and prints the case: look at both before you keep them.

    \b
    crossplant test --config hub/ --record 4711
    crossplant test --config hub/ --record dead-letter/7 >> hub/tests.yaml
    """
    from config.load import load
    from gateway.cases import Bench

    deployment = load(config)
    bench = Bench(deployment)
    if record is not None:
        _record(bench, config, record, url, key_file)
        return
    _run(bench, deployment.tests, config, junit, as_json=as_json)


def _run(bench: Bench, given: Sequence[Any], config: Path, junit: Path | None, *, as_json: bool) -> None:
    import asyncio

    async def judged() -> list[Verdict]:
        return [await bench.judge(case) for case in given]

    verdicts = asyncio.run(judged())
    if junit is not None:
        _write_junit(junit, verdicts, config)
    failed = sum(not verdict.passed for verdict in verdicts)
    if as_json:
        _show_json(verdicts, failed)
    else:
        _show(verdicts, failed, config)
    raise typer.Exit(1 if failed else 0)


def _show(verdicts: Sequence[Verdict], failed: int, config: Path) -> None:
    from gateway.commands.terminal import say, show, visible

    for verdict in verdicts:
        show(f"{'ok' if verdict.passed else 'FAILED':<7}{visible(verdict.name)}")
        for fault in verdict.faults:
            show(f"         {visible(fault)}")
    if not verdicts:
        say(f"{config}: no cases; write some below `tests:`, or make one with --record")
    else:
        say(f"{len(verdicts) - failed} passed, {failed} failed")


def _show_json(verdicts: Sequence[Verdict], failed: int) -> None:
    from canonical.event import to_json
    from gateway.commands.terminal import show_json

    told = [
        {
            "name": verdict.name,
            "passed": verdict.passed,
            "faults": verdict.faults,
            "events": [to_json(event) for event in verdict.events],
            "deliveries": [
                {"route": made.route, "payload": made.text, "content_type": made.content_type}
                | {"target": made.target}
                for made in verdict.deliveries
            ],
            "refused": [
                {"code": one.code, "error": one.error, "route": one.route or None} for one in verdict.refused
            ],
        }
        for verdict in verdicts
    ]
    show_json({"passed": len(verdicts) - failed, "failed": failed, "cases": told})


def _write_junit(path: Path, verdicts: Sequence[Verdict], config: Path) -> None:
    from canonical.errors import ConfigError
    from gateway.junit import junit

    try:
        path.write_bytes(junit(verdicts, str(config)))
    except OSError as error:
        raise ConfigError(f"--junit {path}: cannot be written: {error.strerror}") from error


def _record(bench: Bench, config: Path, which: str, url: str, key_file: Path | None) -> None:
    import asyncio

    from gateway.commands.terminal import say, show
    from gateway.recording import record

    folder = config if config.is_dir() else config.parent
    path, text = asyncio.run(record(ask(url, key_file), which, bench, folder))
    show(text, end="")
    say(f"{path}: the message, with secrets and names masked as far as they can be told; look at it")
