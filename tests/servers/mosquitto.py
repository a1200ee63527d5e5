"""Mosquitto, an MQTT broker."""

import os
import pwd
import signal
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, Self, TypedDict, Unpack

from tests.certificates import Authority
from tests.servers.ports import LOOPBACK
from tests.servers.process import Process
from tests.servers.required import program

__all__ = ["BrokerOptions", "Mosquitto", "StartMosquitto"]


class BrokerOptions(TypedDict, total=False):
    """What a test may ask of a broker."""

    users: Mapping[str, str]
    """Name → password; when given, nobody is anonymous."""
    tls: bool
    """The port speaks TLS only; clients trust `Mosquitto.ca_path`."""
    client_certificates: bool
    """With `tls`: clients need a certificate, `Mosquitto.authority.issue(name)`."""
    extra: Sequence[str]
    """More lines for mosquitto.conf."""


@dataclass(slots=True, kw_only=True)
class Mosquitto:
    """An MQTT broker with persistence and no limit on queued messages."""

    port: int
    folder: Path
    process: Process
    ca_path: Path | None = None
    authority: Authority | None = None
    host: str = LOOPBACK

    @property
    def log_path(self) -> Path:
        """The broker's log, all types, appended to over restarts."""
        return self.process.log_path

    @classmethod
    def create(cls, folder: Path, *, port: int, **options: Unpack[BrokerOptions]) -> Self:
        """A broker, not started yet, whose files lie in `folder`, which must not exist yet."""
        folder.mkdir(parents=True)
        authority = Authority.create(folder / "tls") if options.get("tls") else None
        lines = _broker_lines(folder, port)
        lines += _user_lines(folder, options.get("users", {}))
        lines += _tls_lines(authority, client_certificates=options.get("client_certificates", False))
        settings = folder / "mosquitto.conf"
        settings.write_text("\n".join([*lines, *options.get("extra", ()), ""]))
        process = Process(
            argv=[program("mosquitto"), "-c", str(settings)],
            out_path=folder / "mosquitto.out",
            log_path=folder / "mosquitto.log",
        )
        ca_path = authority.certificate_path if authority else None
        return cls(port=port, folder=folder, process=process, ca_path=ca_path, authority=authority)

    def start(self) -> None:
        """Starts it, also again after `stop` or `kill9`; returns once it listens."""
        seen = self._log_size()
        self.process.start()
        self.process.until(lambda: self._logged(" running", seen), "listening")

    def restart(self) -> None:
        """An orderly stop and a start on the same port, with what was persisted."""
        self.stop()
        self.start()

    def save(self) -> None:
        """Persists sessions and queues now; otherwise only an orderly stop does, and `kill9` loses them."""
        before = self._saved()
        os.kill(self.process.pid, signal.SIGUSR1)
        # its log says "Saving" before it writes; the new file takes the old one's place once it is whole
        self.process.until(lambda: self._saved() != before or None, "saving")

    def kill9(self) -> None:
        """Ends it as a power cut would."""
        self.process.kill9()

    def stop(self) -> None:
        """Ends it in an orderly way; nothing when it has ended already."""
        self.process.end()

    def _saved(self) -> tuple[int, int] | None:
        try:
            found = (self.folder / "mosquitto.db").stat()
        except FileNotFoundError:
            return None
        return found.st_ino, found.st_mtime_ns

    def _log_size(self) -> int:
        return self.log_path.stat().st_size if self.log_path.exists() else 0

    def _logged(self, text: str, since: int) -> bool | None:
        with self.log_path.open("rb") as log:
            log.seek(since)
            return text.encode() in log.read() or None


def _broker_lines(folder: Path, port: int) -> list[str]:
    return [
        f"listener {port} {LOOPBACK}",
        f"user {pwd.getpwuid(os.geteuid()).pw_name}",
        "persistence true",
        f"persistence_location {folder}/",
        "max_queued_messages 0",
        "max_inflight_messages 1000",
        "log_dest stderr",
        "log_type all",
    ]


def _user_lines(folder: Path, users: Mapping[str, str]) -> list[str]:
    if not users:
        return ["allow_anonymous true"]
    passwords = folder / "passwords"
    passwords.write_text("".join(f"{name}:{password}\n" for name, password in users.items()))
    passwords.chmod(0o600)
    hashing = [program("mosquitto_passwd"), "-U", str(passwords)]
    subprocess.run(hashing, check=True, stdin=subprocess.DEVNULL, timeout=10)
    return ["allow_anonymous false", f"password_file {passwords}"]


def _tls_lines(authority: Authority | None, *, client_certificates: bool) -> list[str]:
    if authority is None:
        return []
    issued = authority.issue("broker")
    return [
        f"cafile {authority.certificate_path}",
        f"certfile {issued.certificate_path}",
        f"keyfile {issued.key_path}",
        f"require_certificate {'true' if client_certificates else 'false'}",
    ]


class StartMosquitto(Protocol):
    """Starts a broker, on `port` where given; the fixture ends it."""

    def __call__(self, *, port: int | None = None, **options: Unpack[BrokerOptions]) -> Mosquitto: ...
