"""``crossplant check``: everything that can be known of a deployment before it runs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from gateway.commands.asking import AsJson

__all__ = ["Config", "check"]

Config = Annotated[
    Path, typer.Option("--config", help="The deployment: a YAML file, or a folder of them.", metavar="PATH")
]


def check(config: Config, *, as_json: AsJson = False) -> None:
    """Tells what is wrong or doubtful in a deployment, each as file:line:column: message.

    Exits with 2 when it could not run as written; warnings alone exit with 0.

    \b
    crossplant check --config hub/
    """
    from config.load import check as findings_of
    from gateway.commands.terminal import say, show, show_json, visible

    findings = findings_of(config)
    errors = sum(found.severity == "error" for found in findings)
    if as_json:
        import msgspec

        show_json({"errors": errors, "findings": msgspec.to_builtins(findings)})
    else:
        for found in findings:
            show(visible(str(found)))
        say(_summary(config, errors, len(findings) - errors))
    if errors:
        raise typer.Exit(2)


def _summary(config: Path, errors: int, warnings: int) -> str:
    if not errors and not warnings:
        return f"{config}: nothing to mend"
    return f"{config}: {_number(errors, 'error')}, {_number(warnings, 'warning')}"


def _number(count: int, what: str) -> str:
    return f"{count} {what}{'' if count == 1 else 's'}"
