"""Peers that tests share where they do not stop them: starting one takes some seconds."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.servers import OpcuaPeer, free_port, give_back, requires_server


def _peer(folder: Path, pki: Path, *, interval: int = 100) -> Iterator[OpcuaPeer]:
    requires_server("node-opcua")
    port = free_port()
    peer = OpcuaPeer.create(folder, port=port, pki=pki)
    peer.start(interval=interval)
    yield peer
    peer.stop()
    give_back(port)


@pytest.fixture(scope="session")
def machine(tmp_path_factory: pytest.TempPathFactory, opcua_pki: Path) -> Iterator[OpcuaPeer]:
    """A server whose values change every 100 ms. Tests leave it running, and release what they set."""
    yield from _peer(tmp_path_factory.mktemp("machine") / "peer", opcua_pki)


@pytest.fixture(scope="session")
def still(tmp_path_factory: pytest.TempPathFactory, opcua_pki: Path) -> Iterator[OpcuaPeer]:
    """A server whose values change only when told. Tests leave it running."""
    yield from _peer(tmp_path_factory.mktemp("still") / "peer", opcua_pki, interval=0)
