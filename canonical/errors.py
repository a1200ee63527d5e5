"""The one error taxonomy: what failed, where, whether it may heal by itself, and what to do.

Libraries' exceptions are wrapped at the adapter's edge (``raise … from``). Duplicates and
shutdown are outcomes, not errors, and have no class here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import StrEnum

__all__ = [
    "ConfigError",
    "CrossplantError",
    "Invalid",
    "PermanentError",
    "Rejected",
    "Stage",
    "TransientError",
    "Unauthorized",
    "Unresolved",
]


class Stage(StrEnum):
    """Where on its way a message was when it failed."""

    RECEIVING = "receiving"
    PROCESSING = "processing"
    SENDING = "sending"


class CrossplantError(Exception):
    """Root of all errors of ours.

    ``code`` is a bounded word for metrics and grouping (``http_409``, ``connection_refused``);
    ``context`` is safe to show and to log: never a secret, never a whole payload.
    """

    code = "error"
    stage = Stage.PROCESSING

    def __init__(
        self,
        message: str,
        *,
        code: str | None = None,
        stage: Stage | None = None,
        context: Mapping[str, object] | None = None,
    ) -> None:
        super().__init__(message)
        self.code = code or type(self).code
        self.stage = stage or type(self).stage
        self.context = dict(context or {})

    @property
    def message(self) -> str:
        """The text for people: what, where, what to do."""
        return str(self.args[0])


class ConfigError(CrossplantError):
    """The deployment cannot run as written. ``file:line:column`` are where, 1-based, when known."""

    code = "config"

    def __init__(
        self, message: str, *, file: str = "", line: int = 0, column: int = 0, key: str = ""
    ) -> None:
        super().__init__(message, context={"file": file, "line": line, "column": column, "key": key})
        self.file, self.line, self.column, self.key = file, line, column, key

    def __str__(self) -> str:
        where = ":".join(str(part) for part in (self.file, self.line, self.column) if part)
        return f"{where}: {self.message}" if where else self.message


class TransientError(CrossplantError):
    """May succeed when tried again.

    ``outage``: the peer as a whole cannot be reached (refused, 502, 503, 504), so its route pauses.
    ``busy``: this one document is held by someone (409, 423, 429); it is retried at its own pace.
    Neither: a time-out or a 500, which may be either; recoverability tells by counting.
    ``retry_after_s``: seconds that the peer asked us to wait.
    """

    code = "transient"
    stage = Stage.SENDING

    def __init__(
        self,
        message: str,
        *,
        code: str | None = None,
        stage: Stage | None = None,
        context: Mapping[str, object] | None = None,
        retry_after_s: float | None = None,
        outage: bool = False,
        busy: bool = False,
    ) -> None:
        super().__init__(message, code=code, stage=stage, context=context)
        self.retry_after_s = retry_after_s
        self.outage = outage
        self.busy = busy


class PermanentError(CrossplantError):
    """Will fail again however often it is tried; something must change first."""

    code = "permanent"


class Invalid(PermanentError):
    """A message that is wrong in itself.

    ``errors`` are pairs of (RFC 6901 pointer or position in the source, what is wrong there).
    """

    code = "invalid"
    stage = Stage.RECEIVING

    def __init__(
        self,
        message: str,
        *,
        code: str | None = None,
        stage: Stage | None = None,
        context: Mapping[str, object] | None = None,
        errors: Sequence[tuple[str, str]] = (),
    ) -> None:
        super().__init__(message, code=code, stage=stage, context=context)
        self.errors = tuple(errors)


class Rejected(PermanentError):
    """The peer understood the message and refused it."""

    code = "rejected"
    stage = Stage.SENDING


class Unauthorized(PermanentError):
    """The peer does not accept our credentials; every message would fail alike."""

    code = "unauthorized"
    stage = Stage.SENDING


class Unresolved(PermanentError):
    """A code without a crosswalk row: a business exception, parked until somebody approves the row."""

    code = "unresolved"

    def __init__(self, *, domain: str, system: str, value: str, plant: str = "", path: str = "") -> None:
        where = f" ({path})" if path else ""
        super().__init__(
            f"no crosswalk row for {domain} {value!r} of system {system!r}{where}",
            context={"domain": domain, "system": system, "value": value, "plant": plant, "path": path},
        )
        self.domain, self.system, self.value, self.plant = domain, system, value, plant
