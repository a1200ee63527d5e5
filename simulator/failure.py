"""Failures that a simulated system can be told to have: who fails, how, and for how long."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, get_args

__all__ = ["Failure", "Failures", "Mode", "failure"]

Mode = Literal["ok", "down", "error500", "reject", "timeout", "slow"]
MODES: Final[tuple[str, ...]] = get_args(Mode)
_STATUS: Final[Mapping[str, int]] = {"down": 503, "error500": 500, "reject": 422}
_TEXT: Final[Mapping[str, str]] = {
    "down": "the system is away for maintenance",
    "error500": "internal error while posting the document",
    "reject": "the document was refused",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """One way to fail.

    ``down``: every request gets 503. ``error500``, ``reject``: documents get ``status``. ``timeout``: the
    document is taken and no answer ever comes. ``slow``: answers come ``delay_s`` seconds late.
    With ``field`` only documents whose field has ``value`` fail. It ends at ``until`` (monotonic
    seconds), or never.
    """

    mode: Mode
    status: int = 0
    text: str = ""
    field: str | None = None
    value: str | None = None
    delay_s: float = 0.0
    until: float | None = None

    def concerns(self, document: Mapping[str, Any]) -> bool:
        """Whether this document fails."""
        return self.field is None or str(document.get(self.field)) == self.value


def failure(request: Mapping[str, Any], now: float) -> Failure:
    """The failure that a request to ``/_control`` describes. Raises ValueError saying what is wrong."""
    unknown = set(request) - {"mode", "status", "text", "field", "value", "delay_s", "for_s"}
    if unknown:
        raise ValueError(f"unknown: {', '.join(sorted(unknown))}")
    mode = request.get("mode")
    if mode not in MODES:
        raise ValueError(f"mode must be one of {', '.join(MODES)}")
    if ("field" in request) != ("value" in request):
        raise ValueError("field and value belong together")
    lasts = request.get("for_s")
    return Failure(
        mode=mode,
        status=int(request.get("status", _STATUS.get(mode, 0))),
        text=str(request.get("text", _TEXT.get(mode, ""))),
        field=request.get("field"),
        value=str(request["value"]) if "value" in request else None,
        delay_s=float(request.get("delay_s", 1.0)),
        until=None if lasts is None else now + float(lasts),
    )


class Failures:
    """The failures that a system has at the moment."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._active: list[Failure] = []

    def tell(self, request: Mapping[str, Any]) -> None:
        """Adds a failure; ``{"mode": "ok"}`` ends them all. Raises ValueError."""
        added = failure(request, self._clock())
        self._active = [] if added.mode == "ok" else [*self._running(), added]

    def of_all(self) -> list[Failure]:
        """Those that hit every request, whatever it brings."""
        return [one for one in self._running() if one.field is None]

    def of(self, document: Mapping[str, Any]) -> list[Failure]:
        """Those that hit this document only."""
        return [one for one in self._running() if one.field is not None and one.concerns(document)]

    def _running(self) -> list[Failure]:
        now = self._clock()
        self._active = [one for one in self._active if one.until is None or one.until > now]
        return self._active
