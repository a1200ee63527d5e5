"""``crossplant backup`` and ``crossplant restore``: a data folder as one file, and back."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gateway.commands.asking import AsJson

if TYPE_CHECKING:
    from gateway.backup import Manifest, Progress

__all__ = ["backup", "restore"]


def backup(
    file: Annotated[Path, typer.Argument(help="The file to write; must not exist yet.", metavar="FILE")],
    data: Annotated[
        Path,
        typer.Option("--data", envvar="CROSSPLANT_DATA", help="The hub's data folder.", metavar="DIR"),
    ] = Path("data"),
    *,
    as_json: AsJson = False,
) -> None:
    """Writes a backup of a data folder, while the hub runs or not: journal, dead letters, lanes, keys,
    crosswalks, ledgers, audit with its key, read models, certificates that were trusted.

    The configuration and its secrets are not in it: keep them in version control and in a vault. It needs
    room for one more copy of the journal beside FILE while it is made. A backup holds what was recorded up
    to its moment; what is recorded later is only in the data folder. The file's name and SHA-256 go into the
    audit afterwards, so that row is in the next backup.

    \b
    crossplant backup /backup/hub-monday.tar --data /var/lib/crossplant
    """
    from canonical.errors import CrossplantError
    from gateway import local
    from gateway.backup import back_up
    from gateway.commands.terminal import say, show_json

    made = back_up(data, file, progress=_progress())
    try:
        local.backed_up(data, file, made.head)
    except (CrossplantError, LookupError, ValueError, OSError) as error:
        say(f"the backup is whole, but it was not written into the audit: {error}")
    if as_json:
        show_json(
            {"file": str(file), "head": made.head, "size_bytes": file.stat().st_size, "damaged": made.damaged}
        )
        return
    say(f"{file}: {len(made.parts)} files, up to position {made.head}, {file.stat().st_size:,} bytes")
    _tell_damage(made)


def restore(
    file: Annotated[Path, typer.Argument(help="A file that `crossplant backup` wrote.", metavar="FILE")],
    data: Annotated[
        Path,
        typer.Option("--data", help="The data folder to make; must not exist, or be empty.", metavar="DIR"),
    ] = Path("data"),
    *,
    as_json: AsJson = False,
) -> None:
    """Makes a data folder of a backup. Every file is held against its hash before the folder appears.

    What the hub recorded after the backup is not in it. Sources that keep what was not acknowledged do not
    send that again, since it was: ask for it at the source. Deliveries made after the backup may be made
    once more, under the same idempotency keys. The folder's audit says who restored it, and of what.

    \b
    crossplant restore /backup/hub-monday.tar --data /var/lib/crossplant
    """
    from canonical.errors import CrossplantError
    from gateway import local
    from gateway.backup import note_restored
    from gateway.backup import restore as bring_back
    from gateway.commands.terminal import say, show_json

    found = bring_back(file, data, progress=_progress())
    try:
        note_restored(data, file, found, by=local.me())
    except CrossplantError as error:
        say(f"the folder is whole, but its audit does not say who restored it: {error}")
    if as_json:
        show_json(
            {
                "data": str(data),
                "head": found.head,
                "made_at": found.made_at.isoformat(),
                "damaged": found.damaged,
            }
        )
        return
    say(f"{data}: as of {found.made_at:%Y-%m-%d %H:%M:%SZ}, up to position {found.head}")
    _tell_damage(found)


def _tell_damage(manifest: Manifest) -> None:
    from gateway.commands.terminal import say

    for first, last in manifest.damaged:
        say(f"positions {first} to {last} are damaged on the hub's disk: an older backup may have them whole")


def _progress() -> Progress:
    """Shown on a terminal only."""
    if not sys.stderr.isatty():
        return lambda _what, _done: None

    def shown(what: str, done: float) -> None:
        sys.stderr.write(f"\r{what} {done:4.0%}\x1b[K" + ("\n" if done >= 1.0 else ""))
        sys.stderr.flush()

    return shown
