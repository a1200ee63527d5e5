"""``crossplant run``: a deployment, until it is told to stop."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from gateway.commands.check import Config

__all__ = ["DataFolder", "LogFormat", "LogLevel", "run"]

DataFolder = Annotated[
    Path,
    typer.Option(
        "--data", envvar="CROSSPLANT_DATA", help="The hub's data: journal, dead letters, keys.", metavar="DIR"
    ),
]
LogLevel = Annotated[
    Literal["debug", "info", "warning", "error"],
    typer.Option("--log-level", envvar="CROSSPLANT_LOG_LEVEL", help="What is told on stderr."),
]
LogFormat = Annotated[
    Literal["auto", "text", "json"],
    typer.Option("--log-format", envvar="CROSSPLANT_LOG_FORMAT", help="auto: text on a terminal, else JSON."),
]


def run(
    config: Config,
    data: DataFolder = Path("data"),
    *,
    log_level: LogLevel = "info",
    log_format: LogFormat = "auto",
) -> None:
    """Runs a deployment. Its log goes to stderr.

    \b
    SIGTERM, Ctrl-C   stops taking in, delivers what is there, ends; what is left goes on at the next start
    SIGHUP            reads the configuration anew; one that is not sound is refused, with the reasons

    A data folder belongs to one hub at a time. A broken configuration is told and exits with 2.

    \b
    crossplant run --config hub/ --data /var/lib/crossplant
    """
    from gateway import logs
    from gateway.service import in_loop, run_hub

    logs.set_up(level=log_level, shape=log_format)
    in_loop(run_hub(config, data))
