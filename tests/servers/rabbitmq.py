"""RabbitMQ, an AMQP 0-9-1 broker, with an epmd of its own."""

import os
import shutil
import socket
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, Self, TypedDict, Unpack

from tests.certificates import Authority
from tests.servers.ports import LOOPBACK
from tests.servers.process import Process
from tests.servers.required import program, rabbitmq_script

__all__ = ["RabbitMQ", "RabbitOptions", "StartRabbitMQ"]

COMMAND_TIMEOUT_S = 60.0
ON_LOOPBACK = "-kernel inet_dist_use_interface {127,0,0,1} -start_epmd false"
FRUGAL = "+S 2:2 +sbwt none +sbwtdcpu none +sbwtdio none"
"""No busy waiting: the machine's cores are shared by all tests."""


class RabbitOptions(TypedDict, total=False):
    """What a test may ask of a broker."""

    extra: Sequence[str]
    """More lines for rabbitmq.conf."""


@dataclass(slots=True, kw_only=True)
class RabbitMQ:
    """An AMQP broker: `port` in the clear, `tls_port` with TLS; all its ports on loopback; user guest."""

    port: int
    tls_port: int
    folder: Path
    process: Process
    epmd: Process
    epmd_port: int
    authority: Authority
    host: str = LOOPBACK

    @property
    def url(self) -> str:
        """For any client, with credentials."""
        return f"amqp://guest:guest@{self.host}:{self.port}/"

    @property
    def log_path(self) -> Path:
        """The broker's log, appended to over restarts."""
        return self.process.out_path

    @classmethod
    def create(cls, folder: Path, *, free_port: Callable[[], int], **options: Unpack[RabbitOptions]) -> Self:
        """A broker, not started yet, whose files lie in `folder`, which must not exist yet."""
        folder.mkdir(parents=True)
        port, tls_port, distribution_port, epmd_port = (free_port() for _ in range(4))
        authority = Authority.create(folder / "tls")
        lines = [*_lines(port, tls_port, authority), *options.get("extra", ()), ""]
        (folder / "rabbitmq.conf").write_text("\n".join(lines))
        (folder / "enabled_plugins").write_text("[].\n")
        environment = _environment(folder, f"rabbit-{port}@localhost", distribution_port, epmd_port)
        return cls(
            port=port,
            tls_port=tls_port,
            folder=folder,
            process=_process(folder, "rabbitmq", [*environment, rabbitmq_script("rabbitmq-server")]),
            epmd=_process(folder, "epmd", [program("epmd"), "-port", str(epmd_port), "-address", LOOPBACK]),
            epmd_port=epmd_port,
            authority=authority,
        )

    def start(self) -> None:
        """Starts it, also again after `stop` or `kill9`; returns once it is up, which takes some seconds."""
        if self.epmd.running is None:
            self.epmd.start()
            self.epmd.until(lambda: _listens(self.epmd_port), "listening")
        seen = self.log_path.stat().st_size if self.log_path.exists() else 0
        self.process.start()
        self.process.until(lambda: self._logged("Server startup complete", seen), "started")

    def control(self, *arguments: str) -> str:
        """What `rabbitmqctl` answers."""
        argv = [*self.process.argv[:-1], rabbitmq_script("rabbitmqctl"), *arguments]
        done = subprocess.run(
            argv, stdin=subprocess.DEVNULL, capture_output=True, timeout=COMMAND_TIMEOUT_S, check=False
        )
        answer = (done.stdout + done.stderr).decode(errors="replace")
        assert done.returncode == 0, answer
        return answer

    def memory_alarm(self, *, on: bool) -> None:
        """The alarm that makes the broker take no more messages, or its end."""
        self.control("set_vm_memory_high_watermark", "0" if on else "0.9")

    def save(self) -> None:
        """Persists which quorum queues there are.

        RabbitMQ 3.10 does so by itself within some seconds; a queue that was made just before `kill9` has no
        leader otherwise, for good (rabbitmq-server #10070).
        """
        self.control("eval", "[dets:sync(Table) || Table <- dets:all()].")

    def kill9(self) -> None:
        """Ends it as a power cut would; what it has confirmed is on its disk."""
        self.process.kill9()

    def stop(self) -> None:
        """Ends it and its epmd; nothing when they have ended already. Its data stays for the next start."""
        if self.process.running is not None:
            self.process.kill9()
        self.epmd.end()

    def _logged(self, text: str, since: int) -> bool | None:
        with self.log_path.open("rb") as log:
            log.seek(since)
            return text.encode() in log.read() or None


def _lines(port: int, tls_port: int, authority: Authority) -> list[str]:
    issued = authority.issue("broker")
    return [
        f"listeners.tcp.1 = {LOOPBACK}:{port}",
        f"listeners.ssl.1 = {LOOPBACK}:{tls_port}",
        f"ssl_options.cacertfile = {authority.certificate_path}",
        f"ssl_options.certfile = {issued.certificate_path}",
        f"ssl_options.keyfile = {issued.key_path}",
        "log.file = false",
        "log.console = true",
        "log.console.level = info",
        "vm_memory_high_watermark.relative = 0.9",
        "disk_free_limit.absolute = 10MB",
    ]


def _environment(folder: Path, node: str, distribution_port: int, epmd_port: int) -> list[str]:
    """The start of a command line: nothing of an installed broker's own settings is used.

    RUNNING_UNDER_SYSTEMD makes the start script become the broker, so that its pid is the broker's.
    """
    settings = {
        "HOME": folder,
        "LC_ALL": "C.UTF-8",
        "ERL_CRASH_DUMP": folder / "erl_crash.dump",
        "ERL_EPMD_PORT": epmd_port,
        "ERL_EPMD_ADDRESS": LOOPBACK,
        "RABBITMQ_NODENAME": node,
        "RABBITMQ_DIST_PORT": distribution_port,
        "RABBITMQ_CONF_ENV_FILE": os.devnull,
        "RABBITMQ_CONFIG_FILE": folder / "rabbitmq.conf",
        "RABBITMQ_ADVANCED_CONFIG_FILE": folder / "advanced.config",
        "RABBITMQ_ENABLED_PLUGINS_FILE": folder / "enabled_plugins",
        "RABBITMQ_MNESIA_BASE": folder / "data",
        "RABBITMQ_LOG_BASE": folder / "log",
        "RABBITMQ_PID_FILE": folder / "rabbitmq.pid",
        "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": f"{ON_LOOPBACK} {FRUGAL}",
        "RABBITMQ_CTL_ERL_ARGS": f"{ON_LOOPBACK} {FRUGAL}",
        "RUNNING_UNDER_SYSTEMD": "true",
    }
    env = shutil.which("env") or "/usr/bin/env"
    return [env, "-u", "NOTIFY_SOCKET", *(f"{name}={value}" for name, value in settings.items())]


def _process(folder: Path, name: str, argv: Sequence[str]) -> Process:
    return Process(argv=argv, out_path=folder / f"{name}.log", log_path=folder / f"{name}.err")


def _listens(port: int) -> bool | None:
    try:
        socket.create_connection((LOOPBACK, port), timeout=1).close()
    except OSError:
        return None
    return True


class StartRabbitMQ(Protocol):
    """Starts a broker of a test's own; the fixture ends it."""

    def __call__(self, **options: Unpack[RabbitOptions]) -> RabbitMQ: ...
