"""``crossplant doctor``: whether machine, disk, data folder and deployment are fit for a hub."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from gateway.commands.asking import AsJson

__all__ = ["doctor"]


def doctor(
    config: Annotated[
        Path | None,
        typer.Option(help="The deployment: a YAML file, or a folder of them.", metavar="PATH"),
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option(envvar="CROSSPLANT_DATA", help="The hub's data folder.", metavar="DIR"),
    ] = None,
    *,
    as_json: AsJson = False,
) -> None:
    """Looks at what a hub depends on: program, SQLite, open files; with a deployment its errors; with a data
    folder its rights, its file system, room and speed, the journal's version, and whether its hub answers.
    Changes nothing; a hub may run meanwhile. Exit code 1: something is bad.

    \b
    ok        fit for a hub
    DOUBTFUL  works, with a risk that is named; what to do stands below
    BAD       does not work, or loses data; what to do stands below

    \b
    crossplant doctor
    crossplant doctor --config hub/ --data /var/lib/crossplant
    """
    from msgspec import to_builtins

    from gateway.commands.terminal import show, show_json, visible
    from gateway.doctor import examine

    findings = []
    for found in examine(config, data):
        findings.append(found)
        if not as_json:
            mark = found.verdict if found.verdict == "ok" else found.verdict.upper()
            show(f"{mark:<9} {found.what:<8} {visible(found.detail)}")
            if found.remedy:
                show(f"{'':<18} {visible(found.remedy)}")
    if as_json:
        show_json({"findings": to_builtins(findings)})
    if any(found.verdict == "bad" for found in findings):
        raise typer.Exit(1)
