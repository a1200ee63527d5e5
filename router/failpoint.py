"""Places where the process may be told to die, to prove that nothing is lost there.

``CROSSPLANT_FAILPOINT=name`` kills the process (SIGKILL, no clean-up) the first time that ``name``
is reached, ``name:7`` the seventh time. A line ``failpoint name`` goes to the file named by
``CROSSPLANT_FAILPOINT_LOG`` first, so that a test can tell a hit from a miss. Without the variable
a failpoint costs one dictionary look-up.
"""

from __future__ import annotations

import os
import signal
from pathlib import Path

__all__ = ["NAMES", "armed", "failpoint"]

NAMES = (
    "ingest.before_commit",
    "ingest.after_commit",
    "journal.before_commit",
    "journal.after_commit",
    "engine.before_map",
    "engine.before_send",
    "engine.after_send",
    "engine.before_lane",
    "engine.after_lane",
    "engine.before_settle",
)
"""Every failpoint, in the order in which an event passes them. Test matrices walk this list."""

_name, _, _count = os.environ.get("CROSSPLANT_FAILPOINT", "").partition(":")
_left = {_name: int(_count or 1)} if _name else {}


def armed(name: str) -> bool:
    """Whether it may end the process here: a loop that asks once need not pass it for every event."""
    return name in _left


def failpoint(name: str) -> None:
    """Ends the process here when the environment asks for it."""
    if name not in _left:
        return
    _left[name] -= 1
    if _left[name] == 0:
        path = os.environ.get("CROSSPLANT_FAILPOINT_LOG")
        if path:
            with Path(path).open("a", encoding="utf-8") as log:
                log.write(f"failpoint {name}\n")
                log.flush()
                os.fsync(log.fileno())
        os.kill(os.getpid(), signal.SIGKILL)
