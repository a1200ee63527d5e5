"""OpenSSH's server, with its own SFTP subsystem, and its `sftp` command as a client."""

import os
import pwd
import signal
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, Self

from tests.servers.ports import LOOPBACK
from tests.servers.process import Process
from tests.servers.required import program

__all__ = ["OpenSsh", "StartOpenSsh"]

PRIVSEP = Path("/run/sshd")  # compiled into Debian's sshd, which wants it when root starts it


@dataclass(slots=True, kw_only=True)
class OpenSsh:
    """An SFTP server for the user who runs the tests, by key only. Paths on it are those of this machine."""

    port: int
    folder: Path
    process: Process
    host: str = LOOPBACK

    @property
    def user(self) -> str:
        """Who logs in."""
        return pwd.getpwuid(os.geteuid()).pw_name

    @property
    def key_path(self) -> Path:
        """The private key that may log in."""
        return self.folder / "client_key"

    @property
    def host_key(self) -> str:
        """The server's public key, as in `ssh_host_ed25519_key.pub`."""
        return (self.folder / "host_key.pub").read_text().strip()

    def url(self, path: Path, port: int | None = None) -> str:
        """The address of a folder, also through a proxy at `port`."""
        return f"sftp://{self.user}@{self.host}:{port or self.port}{path}"

    @classmethod
    def create(cls, folder: Path, *, port: int) -> Self:
        """A server, not started yet, whose files lie in `folder`, which must not exist yet."""
        folder.mkdir(parents=True)
        for name in ("host_key", "client_key"):
            making = [
                program("ssh-keygen"),
                "-q",
                "-t",
                "ed25519",
                "-N",
                "",
                "-C",
                name,
                "-f",
                str(folder / name),
            ]
            subprocess.run(making, check=True, stdin=subprocess.DEVNULL, timeout=10)
        (folder / "authorized_keys").write_text((folder / "client_key.pub").read_text())
        settings = folder / "sshd_config"
        settings.write_text("\n".join([*_lines(folder, port), ""]))
        process = Process(
            argv=[program("sshd"), "-D", "-e", "-f", str(settings)],
            out_path=folder / "sshd.out",
            log_path=folder / "sshd.log",
        )
        server = cls(port=port, folder=folder, process=process)
        (folder / "known_hosts").write_text(f"[{server.host}]:{port} {server.host_key}\n")
        return server

    def start(self) -> None:
        """Starts it, also again after `stop` or `kill9`; returns once it listens."""
        if os.geteuid() == 0:
            PRIVSEP.mkdir(mode=0o755, exist_ok=True)
        log = self.process.log_path
        seen = log.stat().st_size if log.exists() else 0
        self.process.start()
        self.process.until(lambda: b"Server listening" in log.read_bytes()[seen:] or None, "listening")

    def stop(self) -> None:
        """Ends it and its sessions; nothing when it has ended already."""
        if self.process.running is not None:
            sessions = _descendants(self.process.pid)
            self.process.end()
            _end(sessions)

    def kill9(self) -> None:
        """Ends it and its sessions as a power cut would."""
        sessions = _descendants(self.process.pid)
        self.process.kill9()
        _end(sessions)

    def sftp(self, *commands: str, kbit_s: int | None = None) -> subprocess.Popen[bytes]:
        """OpenSSH's `sftp` at work on these commands; with `kbit_s` it takes its time."""
        argv = [program("sftp"), "-q", "-b", "-", "-P", str(self.port), "-i", str(self.key_path)]
        for option in (
            f"UserKnownHostsFile={self.folder / 'known_hosts'}",
            "StrictHostKeyChecking=yes",
            "IdentitiesOnly=yes",
            "IdentityAgent=none",
        ):
            argv += ["-o", option]
        argv += ["-F", "none"]
        argv += ["-l", str(kbit_s), "-B", "4096"] if kbit_s else []
        argv.append(f"{self.user}@{self.host}")
        running = subprocess.Popen(
            argv, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        assert running.stdin is not None
        running.stdin.write("".join(f"{command}\n" for command in commands).encode())
        running.stdin.close()
        return running


def _lines(folder: Path, port: int) -> list[str]:
    return [
        f"ListenAddress {LOOPBACK}:{port}",
        f"HostKey {folder}/host_key",
        f"AuthorizedKeysFile {folder}/authorized_keys",
        "PidFile none",
        "StrictModes no",
        "UsePAM no",
        "PasswordAuthentication no",
        "KbdInteractiveAuthentication no",
        "PermitRootLogin prohibit-password",
        "AllowTcpForwarding no",
        "MaxStartups 100",
        "LogLevel VERBOSE",
        "Subsystem sftp internal-sftp",
        "ForceCommand internal-sftp",
    ]


def _descendants(pid: int) -> list[int]:
    """The processes below one of ours: each SSH connection has some, in sessions of their own."""
    parents: dict[int, int] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            parents[int(stat.parent.name)] = int(stat.read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue  # it has just ended
    found, level = [], [pid]
    while level:
        level = [child for child, parent in parents.items() if parent in level]
        found += level
    return found


def _end(pids: list[int]) -> None:
    for pid in pids:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue


class StartOpenSsh(Protocol):
    """Starts an SFTP server; the fixture ends it."""

    def __call__(self) -> OpenSsh: ...
