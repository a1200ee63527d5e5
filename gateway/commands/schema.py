"""``crossplant schema``: JSON Schema for editors, and for those who make or take events."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

__all__ = ["schema"]

schema = typer.Typer(no_args_is_help=True)

_CONFIG_FILE = "crossplant.schema.json"


@schema.command("config")
def of_config() -> None:
    """Prints the JSON Schema of a deployment, with all adapters and formats that are installed.

    \b
    crossplant schema config > crossplant.schema.json
    and as the first line of the YAML file, for editors:
    # yaml-language-server: $schema=./crossplant.schema.json
    """
    from gateway.commands.terminal import show_json

    show_json(_config())


@schema.command("event")
def of_event(
    event_type: Annotated[
        str, typer.Argument(help="procurement.asn.received, or the full type.", metavar="TYPE")
    ],
    *,
    data: Annotated[bool, typer.Option("--data", help="Of its data only, without the envelope.")] = False,
) -> None:
    """Prints the JSON Schema of an event type.

    \b
    crossplant schema event inventory.moved
    """
    from canonical import catalogue
    from gateway.commands.terminal import show_json

    try:
        made = catalogue.json_schema(event_type) if data else catalogue.event_json_schema(event_type)
    except catalogue.UnknownType as error:
        raise typer.BadParameter(f"{error}; `crossplant schema all DIR` writes every type") from error
    show_json(made)


@schema.command("all")
def of_all(
    directory: Annotated[Path, typer.Argument(help="Made when it is not there.", metavar="DIR")],
) -> None:
    """Writes every JSON Schema into a folder: the deployment's, and one per event type under events/.

    \b
    crossplant schema all schemas/
    """
    import json

    from canonical import catalogue
    from gateway.commands.terminal import say, show

    schemas = {_CONFIG_FILE: _config()} | {
        f"events/{entry.suffix}.v{entry.version}.json": catalogue.event_json_schema(entry.name)
        for entry in catalogue.all_types()
    }
    try:
        for name, made in schemas.items():
            path = directory / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps(made, indent=2, ensure_ascii=False) + "\n")
            show(str(path))
    except OSError as error:
        say(f"{error.filename}: cannot be written: {error.strerror}")
        raise typer.Exit(1) from error


def _config() -> dict[str, Any]:
    from config.schema import schema as of_deployment

    return of_deployment()
