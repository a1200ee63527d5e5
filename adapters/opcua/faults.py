"""What went wrong with a server, in the project's errors: the library's are wrapped here."""

from __future__ import annotations

from typing import Final

from asyncua import ua

from canonical.errors import CrossplantError, Stage, TransientError, Unauthorized

__all__ = ["UNEXPECTED", "Ended", "explain", "status_name"]

UNEXPECTED: Final = "unexpected"
"""Code of what is a fault of ours or of the library rather than of the connection."""

_LOGIN: Final = frozenset(
    {
        ua.StatusCodes.BadUserAccessDenied,
        ua.StatusCodes.BadIdentityTokenInvalid,
        ua.StatusCodes.BadIdentityTokenRejected,
        ua.StatusCodes.BadUserSignatureInvalid,
    }
)
_CERTIFICATE: Final = frozenset(
    {
        ua.StatusCodes.BadApplicationSignatureInvalid,
        ua.StatusCodes.BadCertificateInvalid,
        ua.StatusCodes.BadCertificateTimeInvalid,
        ua.StatusCodes.BadCertificateUntrusted,
        ua.StatusCodes.BadCertificateUriInvalid,
        ua.StatusCodes.BadCertificateUseNotAllowed,
        ua.StatusCodes.BadSecurityChecksFailed,
    }
)


class Ended(TransientError):
    """A connection is no longer good for anything. ``resumable``: the subscription may still live."""

    code = "connection_ended"
    stage = Stage.RECEIVING

    def __init__(self, message: str, *, code: str | None = None, resumable: bool = True) -> None:
        super().__init__(message, code=code, outage=True)
        self.resumable = resumable


def status_name(code: int) -> str:
    """The name of a StatusCode, ``BadNodeIdUnknown``; its number when it has none."""
    return ua.StatusCode(ua.UInt32(code & 0xFFFF0000)).name or f"0x{code:08X}"


def explain(error: Exception, url: str) -> CrossplantError:
    """The error as ours: what happened, with which server, what to do."""
    if isinstance(error, ExceptionGroup):
        return explain(_worst(error), url)
    if isinstance(error, CrossplantError):
        return error
    if isinstance(error, ua.UaStatusCodeError):
        return _status(error, url)
    if isinstance(error, TimeoutError):
        return Ended(f"{url} did not answer in time", code="timeout")
    if isinstance(error, OSError):
        return Ended(f"{url} cannot be reached: {error}", code="unreachable")
    if isinstance(error, ua.UaError):
        return Ended(f"{url}: {str(error) or type(error).__name__}", code="protocol")
    # Rather a new connection after a pause than no values any more because of one odd answer.
    ended = Ended(f"{url}: unexpected {type(error).__name__}: {error}", code=UNEXPECTED)
    ended.__cause__ = error
    return ended


def _status(error: ua.UaStatusCodeError, url: str) -> CrossplantError:
    name = status_name(error.code)
    if error.code in _LOGIN:
        return Unauthorized(
            f"{url} refuses the login ({name}); check username and password",
            code="login_refused",
            stage=Stage.RECEIVING,
        )
    if error.code in _CERTIFICATE:
        return Unauthorized(
            f"{url} does not accept our certificate ({name}); add own/certificate.der of the adapter's data "
            "folder to the server's trust list",
            code="certificate_refused",
            stage=Stage.RECEIVING,
        )
    return Ended(f"{url} answered {name}", code=name, resumable=error.code not in _GONE)


_GONE: Final = frozenset(
    {
        ua.StatusCodes.BadNoSubscription,
        ua.StatusCodes.BadSubscriptionIdInvalid,
    }
)


def _worst(group: ExceptionGroup[Exception]) -> Exception:
    """The error of a task group that says most: ours first, then the first one."""
    found: list[Exception] = []
    for error in group.exceptions:
        found.append(_worst(error) if isinstance(error, ExceptionGroup) else error)
    return next((error for error in found if isinstance(error, CrossplantError)), found[0])
