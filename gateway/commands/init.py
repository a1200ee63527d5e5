"""``crossplant init``: a small commented deployment that runs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

__all__ = ["init"]


def init(
    directory: Annotated[Path, typer.Argument(help="Made when it is not there.", metavar="DIR")],
) -> None:
    """Writes a small commented deployment that runs, with new secrets; nothing is overwritten.

    \b
    crossplant init hub
    """
    from config.init import init as write
    from gateway.commands.terminal import say, show

    for path in write(directory):
        show(str(path))
    say(f"next: cd {directory} and read README.md, or start it: crossplant run --config deployment.yaml")
