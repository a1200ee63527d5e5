"""From a TCP connection to an SFTP session: the server proves itself, then we do. All of it blocks."""

from __future__ import annotations

import io
import logging
import socket
from collections.abc import Callable
from pathlib import Path

import paramiko
from cryptography.exceptions import UnsupportedAlgorithm

from adapters.sftp.client import Client
from adapters.sftp.config import SftpConfig
from adapters.sftp.hostkeys import fingerprint
from canonical.errors import ConfigError, Unauthorized

__all__ = ["load_key", "log_in"]

_LOG_CHANNEL = "crossplant.paramiko"
logging.getLogger(_LOG_CHANNEL).setLevel(logging.CRITICAL)  # its errors reach us as exceptions
_KEYS: tuple[type[paramiko.PKey], ...] = (paramiko.Ed25519Key, paramiko.ECDSAKey, paramiko.RSAKey)


def load_key(settings: SftpConfig) -> paramiko.PKey | None:
    """Our private key; None when there is none. Raises ConfigError when it cannot be used."""
    if settings.key is None:
        return None
    text = settings.key.get_secret_value().strip()
    if not text.startswith("-----BEGIN"):
        try:
            text = Path(text).read_text(encoding="ascii")
        except (OSError, UnicodeDecodeError):
            raise ConfigError(
                "key is neither a private key nor the path of one that can be read", key="key"
            ) from None
    passphrase = settings.passphrase.get_secret_value() if settings.passphrase else None
    for kind in _KEYS:
        try:
            return kind.from_private_key(io.StringIO(text + "\n"), passphrase)
        except paramiko.PasswordRequiredException:
            raise ConfigError("key is encrypted, so it needs passphrase", key="passphrase") from None
        except (paramiko.SSHException, ValueError, IndexError, UnsupportedAlgorithm):
            continue
    raise ConfigError(
        "key cannot be read: it has to be an ed25519, ecdsa or rsa key in OpenSSH or PEM form, with the "
        "right passphrase",
        key="key",
    )


def log_in(
    connection: socket.socket,
    settings: SftpConfig,
    key: paramiko.PKey | None,
    started: Callable[[paramiko.Transport], None],
    tick: Callable[[], None],
) -> Client:
    """The session. ``started`` gets the transport as soon as there is one, to close it.

    Raises Unauthorized for a host key that is not pinned, and what paramiko raises.
    """
    limit_s = settings.connect_timeout
    transport = paramiko.Transport(connection)
    started(transport)
    transport.set_log_channel(_LOG_CHANNEL)
    transport.banner_timeout = transport.handshake_timeout = transport.auth_timeout = limit_s
    pins = settings.pins
    if pins is not None and pins.algorithms:
        transport.get_security_options().key_types = pins.algorithms
    transport.start_client(timeout=limit_s)
    tick()
    _check_host_key(transport.get_remote_server_key(), settings)
    _authenticate(transport, settings, key)
    tick()
    transport.set_keepalive(max(1, round(settings.keepalive)))
    channel = transport.open_session(timeout=limit_s)
    channel.settimeout(settings.timeout)
    channel.invoke_subsystem("sftp")
    tick()
    return Client(channel)


def _check_host_key(shown: paramiko.PKey, settings: SftpConfig) -> None:
    pins, seen = settings.pins, fingerprint(shown.asbytes())
    if pins is None:
        raise Unauthorized(
            f"{settings.url}: the host key {shown.get_name()} {seen} is unknown and was refused; compare it "
            f"with the server's owner, then write host_key: {seen}",
            code="host_key_unknown",
            context={"fingerprint": seen},
        )
    if seen not in pins.fingerprints:
        raise Unauthorized(
            f"{settings.url}: the host key is {shown.get_name()} {seen}, not "
            f"{' or '.join(sorted(pins.fingerprints))}: the server has changed, or somebody is between; "
            "it was refused. Ask the server's owner before you change host_key",
            code="host_key_changed",
            context={"fingerprint": seen},
        )


def _authenticate(transport: paramiko.Transport, settings: SftpConfig, key: paramiko.PKey | None) -> None:
    """By key, by password, or by one after the other where the server asks for both."""
    remaining: list[str] = []
    if key is not None:
        remaining = transport.auth_publickey(settings.user, key)
    if settings.password is not None and not transport.is_authenticated():
        remaining = transport.auth_password(settings.user, settings.password.get_secret_value())
    if not transport.is_authenticated():
        raise paramiko.AuthenticationException(f"the server also asks for {', '.join(remaining) or 'more'}")
