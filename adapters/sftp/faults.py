"""Errors of paramiko and of the operating system as ours: what failed, where, what to do."""

from __future__ import annotations

import socket

import paramiko

from canonical.errors import CrossplantError, TransientError, Unauthorized
from canonical.exchange.folder import Denied, NotFound
from canonical.exchange.worker import Stalled

__all__ = ["SUPPORTED", "explain", "is_answer"]

SUPPORTED = (
    "key exchange by curve25519, ecdh-sha2-nistp or diffie-hellman with SHA-2; host keys ed25519, ecdsa, or "
    "rsa with SHA-2"
)


def is_answer(error: BaseException) -> bool:
    """Whether the server itself said no, so that the connection is as good as before."""
    if isinstance(error, FileNotFoundError | PermissionError):
        return True
    # paramiko raises a plain OSError, without a number, for SSH_FX_FAILURE and its like
    return type(error) is OSError and error.errno is None


def explain(error: BaseException, url: str, *, path: str = "", alive: bool = False) -> CrossplantError:
    """The outcome. ``alive``: the connection still stands, so a plain OSError is the server's answer."""
    where = f"{url}: {path}" if path else url
    match error:
        case CrossplantError():
            return error
        case FileNotFoundError():
            return NotFound(f"{where} is not there; make it on the server, or correct the folder")
        case PermissionError():
            return Denied(f"{where}: permission denied; ask the server's owner for the right to do this")
        case paramiko.AuthenticationException():
            return Unauthorized(
                f"{url}: the login was refused ({error}); check user, key and password with its owner",
                code="login_refused",
            )
        case OSError() if alive and is_answer(error):
            return TransientError(
                f"{where}: the server failed: {str(error) or 'no reason given'}", code="server_failure"
            )
        case _:
            code, what = _connection(error)
            return TransientError(f"{url}: {what}", code=code, outage=True)


def _connection(error: BaseException) -> tuple[str, str]:
    """(code, what happened) for what ended a connection, or kept it from coming about."""
    match error:
        case paramiko.ssh_exception.IncompatiblePeer():
            return "no_common_algorithm", f"{error}. Supported: {SUPPORTED}"
        case TimeoutError() | Stalled():
            return "timeout", "no answer in time"
        case ConnectionRefusedError():
            return "connection_refused", "connection refused; is the server running?"
        case socket.gaierror():
            return "unknown_host", f"its name cannot be resolved: {error.strerror}"
        case _:
            return "connection_failed", f"the connection failed: {str(error) or type(error).__name__}"
