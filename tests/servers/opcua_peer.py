"""An OPC UA server that is not ours: node-opcua."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, Self, TypedDict, Unpack

from tests.servers.ports import LOOPBACK
from tests.servers.process import Process
from tests.servers.required import PEERS, program

__all__ = ["OpcuaPeer", "PeerOptions", "StartOpcuaPeer"]


class PeerOptions(TypedDict, total=False):
    """The flags of peers/opcua_server.mjs, whose head explains them."""

    interval: int
    """Milliseconds between changes; 0 = values change only when told."""
    items: int
    max_items: int
    swap_namespaces: bool
    username: str
    password: str
    strict: bool


@dataclass(slots=True, kw_only=True)
class OpcuaPeer:
    """The node-opcua server of peers/opcua_server.mjs, whose head says what it serves."""

    port: int
    pki: Path
    process: Process
    options: PeerOptions
    read: int = field(default=0, init=False)

    @property
    def url(self) -> str:
        """The endpoint's address."""
        return f"opc.tcp://{LOOPBACK}:{self.port}/UA/peer"

    @property
    def log_path(self) -> Path:
        """What the peer says about itself."""
        return self.process.log_path

    @classmethod
    def create(cls, folder: Path, *, port: int, pki: Path) -> Self:
        """A peer, not started yet, whose files lie in `folder`, which must not exist yet."""
        folder.mkdir(parents=True)
        process = Process(argv=[], out_path=folder / "peer.out", log_path=folder / "peer.log")
        return cls(port=port, pki=pki, process=process, options=PeerOptions())

    def start(self, **options: Unpack[PeerOptions]) -> None:
        """Starts it, also again after `stop` or `kill9`, and with other options; returns once it listens."""
        self.options = {**self.options, **options}
        self.read = self.process.out_path.stat().st_size if self.process.out_path.exists() else 0
        self.process.argv = self._argv()
        self.process.start()
        answer = self._answer("listening")
        assert answer == {"ready": True, "port": self.port}

    def tell(self, line: str) -> dict[str, Any]:
        """The acknowledgement of `set NAME VALUE`, `status NAME CODE`, `release NAME` or `drop`."""
        self.process.write(line)
        answer = self._answer(f"answering {line!r}")
        assert "error" not in answer, answer
        return answer

    def restart(self, **options: Unpack[PeerOptions]) -> None:
        """An orderly stop and a start on the same port; `swap_namespaces=True` renumbers its namespaces."""
        self.stop()
        self.start(**options)

    def kill9(self) -> None:
        """Ends it as a power cut would."""
        self.process.kill9()

    def stop(self) -> None:
        """Ends it in an orderly way; nothing when it has ended already."""
        self.process.end()

    def _argv(self) -> list[str]:
        script = PEERS / "opcua_server.mjs"
        argv = [program("node"), str(script), "--port", str(self.port), "--pki", str(self.pki)]
        for name, value in self.options.items():
            flag = f"--{name.replace('_', '-')}"
            if value is True:
                argv.append(flag)
            elif value is not False and value is not None:
                argv += [flag, str(value)]
        return argv

    def _answer(self, what: str) -> dict[str, Any]:
        line = self.process.until(self._next_line, what)
        answer: dict[str, Any] = json.loads(line)
        return answer

    def _next_line(self) -> bytes | None:
        with self.process.out_path.open("rb") as out:
            out.seek(self.read)
            line = out.readline()
        if not line.endswith(b"\n"):
            return None
        self.read += len(line)
        return line


class StartOpcuaPeer(Protocol):
    """Starts an OPC UA peer, on `port` where given; the fixture ends it."""

    def __call__(
        self, *, port: int | None = None, pki: Path | None = None, **options: Unpack[PeerOptions]
    ) -> OpcuaPeer: ...
