"""What the commands that ask a gateway have in common: where it is, which key, how the answer is shown."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from gateway.commands.client import Client

__all__ = ["DEFAULT_URL", "AsJson", "KeyFile", "Reason", "Url", "ask", "because"]

Url = Annotated[
    str, typer.Option("--url", envvar="CROSSPLANT_URL", help="Where the gateway is.", metavar="URL")
]
KeyFile = Annotated[
    Path | None,
    typer.Option(
        "--key-file",
        envvar="CROSSPLANT_KEY_FILE",
        help="A file that holds the API key; else CROSSPLANT_API_KEY is used.",
        metavar="FILE",
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="JSON, for machines.")]
Reason = Annotated[str, typer.Option("--reason", help="Why, if there is something to say; for the audit.")]

DEFAULT_URL = "http://127.0.0.1:8080"


def ask(url: str, key_file: Path | None) -> Client:
    """A client of the gateway. Raises ConfigError when there is no key.

    A key is never an option's value: those can be read in the list of processes.
    """
    from gateway.commands.client import Client

    return Client(url, _key(key_file))


def because(reason: str) -> dict[str, str]:
    """What a body says of why; nothing for no reason."""
    return {"reason": reason} if reason else {}


def _key(key_file: Path | None) -> str:
    from canonical.errors import ConfigError

    if key_file is not None:
        try:
            key = key_file.read_text().strip()
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(
                f"--key-file {key_file}: {getattr(error, 'strerror', None) or 'is no text'}"
            ) from error
    else:
        key = os.environ.get("CROSSPLANT_API_KEY", "").strip()
    if not key:
        raise ConfigError(
            "no API key: set CROSSPLANT_API_KEY or name a file with --key-file. On the hub's own machine, "
            "`crossplant keys create NAME --role viewer --data DIR` makes one"
        )
    if not key.isascii() or not key.isprintable():
        raise ConfigError(
            "the API key has characters that no key has; is it the whole key, and nothing else?"
        )
    return key
