"""From an older journal to today's: steps in order, all of them in one transaction.

A version is one of the whole file, other packages' tables included. What only adds a table or an index
needs no step: CREATE … IF NOT EXISTS runs after the steps. A step is never changed once it was released.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

import apsw
from msgspec import Struct

from canonical.errors import ConfigError

__all__ = ["STEPS", "Step", "columns_of", "migrate"]


class Step(Struct, frozen=True, kw_only=True):
    """What makes version ``to`` of the version before.

    ``run`` sees tables and rows as that one left them; tables of other packages may be missing where the
    journal was opened without them. Its statements must not end the transaction.
    """

    to: int
    what: str
    run: Callable[[apsw.Connection], None]


def _nothing(connection: apsw.Connection) -> None:
    """For a version that only adds tables which the one before would have to look into."""


STEPS: Final[tuple[Step, ...]] = (
    Step(to=2, what="identities in runs, identity_runs_<n>", run=_nothing),
    Step(to=3, what="large raw bodies beside the journal, claim_checks", run=_nothing),
    Step(to=4, what="the next position is read from the newest bundle", run=_nothing),
)


def migrate(connection: apsw.Connection, found: int, steps: Sequence[Step] = STEPS) -> int:
    """Runs the steps after version ``found``, in the caller's transaction; returns the version reached.

    Raises ConfigError, with nothing changed, for a newer journal, and for one that a step cannot read.
    """
    known = 1 + len(steps)
    assert [step.to for step in steps] == list(range(2, known + 1)), "the steps have a gap"
    if found > known:
        raise ConfigError(
            f"the data folder has schema version {found}, this program knows up to {known}: "
            "run the newer version, or restore a backup made with this one"
        )
    for step in steps[found - 1 :]:
        try:
            step.run(connection)
        except apsw.SQLError as error:
            raise ConfigError(
                f"the journal of schema version {found} cannot be brought to version {step.to} "
                f"({step.what}): {error}; nothing was changed: run the version that wrote it, and report this"
            ) from error
    return known


def columns_of(connection: apsw.Connection, table: str) -> list[str]:
    """The table's columns, in order; none when there is no such table."""
    rows = connection.execute("SELECT name FROM pragma_table_info(?)", (table,)).fetchall()
    return [str(name) for (name,) in rows]
