"""``crossplant probe``: a connection test of one adapter, step by step."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from gateway.commands.asking import AsJson
from gateway.commands.check import Config

__all__ = ["probe"]


def probe(
    adapter: Annotated[str, typer.Argument(help="The adapter's name.", metavar="ADAPTER")],
    config: Config,
    data: Annotated[
        Path | None,
        typer.Option(
            "--data",
            envvar="CROSSPLANT_DATA",
            help="The hub's data: certificates that it made for this adapter are used.",
            metavar="DIR",
        ),
    ] = None,
    *,
    as_json: AsJson = False,
) -> None:
    """Tests an adapter's connection step by step: name, TCP, TLS, login, one sample, and the event that it
    would become. A hub may run meanwhile: nothing is acknowledged, moved or delivered. Exit code 1: a step
    failed.

    \b
    ok      it works            -  it cannot be told, for example since nothing came in
    FAILED  with what to do about it; what comes after it was not tried

    \b
    crossplant probe aachen-press --config hub/
    crossplant probe nordstahl-inbox --config hub/ --json
    """
    import asyncio
    import logging

    from config.load import load
    from gateway.commands.terminal import show_json

    deployment = load(config)
    steps: list[dict[str, bool | str | None]] = []

    async def run() -> None:
        from gateway.probing import probe as steps_of

        async for step in steps_of(deployment, adapter, data):
            told = {"step": step.name, "ok": step.ok, "detail": step.detail, "remedy": step.remedy or None}
            steps.append(told)
            if not as_json:
                _show(step.name, step.ok, step.detail, step.remedy)

    logging.disable(logging.CRITICAL)  # what libraries would say, the steps tell
    asyncio.run(run())
    if as_json:
        show_json({"adapter": adapter, "steps": steps})
    raise typer.Exit(1 if any(step["ok"] is False for step in steps) else 0)


def _show(name: str, ok: bool | None, detail: str, remedy: str) -> None:
    from gateway.commands.terminal import show, visible

    mark = "-" if ok is None else "ok" if ok else "FAILED"
    show(f"{mark:<7} {name:<7} {visible(detail)}")
    if remedy and ok is False:
        show(f"{'':<15} {visible(remedy)}")
