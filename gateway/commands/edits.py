"""``crossplant dead-letters edit``, ``edits``, ``approve``, ``withdraw``: other content, by two people."""

from __future__ import annotations

import base64
import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from gateway.commands.asking import DEFAULT_URL, AsJson, KeyFile, Url, ask

__all__ = ["approve", "edit", "edits", "withdraw"]

Number = Annotated[int, typer.Argument(help="The dead letter's number.", min=1, metavar="NUMBER")]
Which = Annotated[int, typer.Argument(help="The edit's number.", min=1, metavar="EDIT")]


def edit(
    number: Number,
    file: Annotated[Path, typer.Argument(help="The new content; - reads stdin.", metavar="FILE")],
    reason: Annotated[str, typer.Option(help="Why; it stands in the audit.")],
    url: Url = DEFAULT_URL,
    key_file: KeyFile = None,
    *,
    as_json: AsJson = False,
) -> None:
    """Proposes other content: of a message its bytes, of a delivery the event's data as JSON.

    It is checked as if it came in now, and takes effect once another person approves it.

    \b
    crossplant dead-letters show 17 --json | jq -r .body > 17.txt
    crossplant dead-letters edit 17 17.txt --reason "the supplier's date has no year"
    """
    from gateway.commands.terminal import show_json

    client = ask(url, key_file)
    letter = client.get(f"/v1/dead-letters/{number}")
    body = {"reason": reason, **_content(_read(file), letter["kind"])}
    made = client.post(f"/v1/dead-letters/{number}/edit", body)
    if as_json:
        show_json(made)
        return
    _tell(made)


def edits(
    number: Number, url: Url = DEFAULT_URL, key_file: KeyFile = None, *, as_json: AsJson = False
) -> None:
    """Lists the edits of a dead letter with what they change, newest first.

    \b
    crossplant dead-letters edits 17
    """
    from gateway.commands.terminal import say, show_json

    found = list(ask(url, key_file).items(f"/v1/dead-letters/{number}/edits"))
    if as_json:
        show_json(found)
        return
    for one in found:
        _tell(one)
    if not found:
        say(f"dead letter {number} was not edited")


def approve(
    number: Number,
    edit: Which,
    url: Url = DEFAULT_URL,
    key_file: KeyFile = None,
) -> None:
    """Lets an edit take effect; refused for its author.

    \b
    crossplant dead-letters approve 17 3
    """
    _tell(ask(url, key_file).post(f"/v1/dead-letters/{number}/edits/{edit}/approve"))


def withdraw(
    number: Number,
    edit: Which,
    url: Url = DEFAULT_URL,
    key_file: KeyFile = None,
) -> None:
    """Gives an edit up; the dead letter stays as it is.

    \b
    crossplant dead-letters withdraw 17 3
    """
    _tell(ask(url, key_file).post(f"/v1/dead-letters/{number}/edits/{edit}/withdraw"))


def _read(file: Path) -> bytes:
    from canonical.errors import ConfigError

    if str(file) == "-":
        return sys.stdin.buffer.read()
    try:
        return file.read_bytes()
    except OSError as error:
        raise ConfigError(f"{file}: {error.strerror}") from error


def _content(content: bytes, kind: str) -> dict[str, Any]:
    from canonical.errors import ConfigError

    if kind == "delivery":
        try:
            return {"data": json.loads(content)}
        except ValueError as error:
            raise ConfigError(f"the data of an event is JSON, and this is not: {error}") from error
    try:
        return {"body": content.decode()}
    except UnicodeDecodeError:
        return {"body_base64": base64.b64encode(content).decode()}


def _tell(edit: Any) -> None:
    from gateway.commands.terminal import say, show, visible

    decided = f" by {visible(edit['decided_by'])}" if edit["decided_by"] else ""
    whose = f"edit {edit['id']} of dead letter {edit['dead_letter']}, by {visible(edit['author'])}"
    say(f"{whose}: {edit['state']}{decided}")
    for change in edit["changes"]:
        show(f"{change['at'] or 'all'}: {visible(change.get('before'))} → {visible(change.get('after'))}")
