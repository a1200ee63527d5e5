"""What every test may ask for: free ports, and real servers on them."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Unpack

import pytest
from hypothesis import settings

from tests import servers
from tests.servers import (
    BrokerOptions,
    Mosquitto,
    OpcuaPeer,
    OpenSsh,
    PeerOptions,
    RabbitMQ,
    RabbitOptions,
    StartMosquitto,
    StartOpcuaPeer,
    StartOpenSsh,
    StartRabbitMQ,
    requires_server,
)

# Property tests: no deadline, since two workers share two cores; in CI the same examples at every run.
settings.register_profile("local", deadline=None, print_blob=True)
settings.register_profile("ci", settings.get_profile("local"), derandomize=True)
settings.load_profile("ci" if os.environ.get("CI") else "local")


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Heeds `@pytest.mark.requires_server("mosquitto", …)`."""
    for marker in item.iter_markers("requires_server"):
        for name in marker.args:
            requires_server(name)


@pytest.fixture
def free_port() -> Iterator[Callable[[], int]]:
    """A function that hands out free ports on loopback, kept for this test until it ends."""
    taken: list[int] = []

    def take() -> int:
        taken.append(servers.free_port())
        return taken[-1]

    yield take
    for port in taken:
        servers.give_back(port)


@pytest.fixture
def start_mosquitto(tmp_path: Path, free_port: Callable[[], int]) -> Iterator[StartMosquitto]:
    """A function that starts an MQTT broker; all of them are ended after the test."""
    requires_server("mosquitto")
    started: list[Mosquitto] = []

    def start(*, port: int | None = None, **options: Unpack[BrokerOptions]) -> Mosquitto:
        chosen = port or free_port()
        broker = Mosquitto.create(tmp_path / f"mosquitto-{chosen}", port=chosen, **options)
        started.append(broker)
        broker.start()
        return broker

    yield start
    for broker in started:
        broker.stop()


@pytest.fixture
def mosquitto(start_mosquitto: StartMosquitto) -> Mosquitto:
    """A running MQTT broker that anyone on loopback may use."""
    return start_mosquitto()


@pytest.fixture(scope="session")
def opcua_pki(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The certificate folder that OPC UA peers share unless told otherwise: making a key takes a while."""
    return tmp_path_factory.mktemp("opcua-pki")


@pytest.fixture
def start_opcua_peer(
    tmp_path: Path, free_port: Callable[[], int], opcua_pki: Path
) -> Iterator[StartOpcuaPeer]:
    """A function that starts an OPC UA server that is not ours; all of them are ended after the test."""
    requires_server("node-opcua")
    started: list[OpcuaPeer] = []

    def start(
        *, port: int | None = None, pki: Path | None = None, **options: Unpack[PeerOptions]
    ) -> OpcuaPeer:
        chosen = port or free_port()
        peer = OpcuaPeer.create(tmp_path / f"peer-{chosen}", port=chosen, pki=pki or opcua_pki)
        started.append(peer)
        peer.start(**options)
        return peer

    yield start
    for peer in started:
        peer.stop()


@pytest.fixture
def opcua_peer(start_opcua_peer: StartOpcuaPeer) -> OpcuaPeer:
    """A running OPC UA server that is not ours, anonymous, with values that change every 100 ms."""
    return start_opcua_peer()


@pytest.fixture
def start_sshd(tmp_path: Path, free_port: Callable[[], int]) -> Iterator[StartOpenSsh]:
    """A function that starts an SFTP server; all of them are ended after the test."""
    requires_server("sshd")
    started: list[OpenSsh] = []

    def start() -> OpenSsh:
        port = free_port()
        server = OpenSsh.create(tmp_path / f"sshd-{port}", port=port)
        started.append(server)
        server.start()
        return server

    yield start
    for server in started:
        server.stop()


@pytest.fixture(scope="session")
def rabbitmq_of_session(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RabbitMQ]:
    """The broker that tests share, since starting one takes seconds; not running yet."""
    taken: list[int] = []

    def take() -> int:
        taken.append(servers.free_port())
        return taken[-1]

    requires_server("rabbitmq")
    broker = RabbitMQ.create(tmp_path_factory.mktemp("rabbitmq") / "broker", free_port=take)
    yield broker
    broker.stop()
    for port in taken:
        servers.give_back(port)


@pytest.fixture
def rabbitmq(rabbitmq_of_session: RabbitMQ) -> RabbitMQ:
    """A running AMQP broker, shared: queues and exchanges need names of the test's own."""
    if rabbitmq_of_session.process.running is None:
        rabbitmq_of_session.start()
    return rabbitmq_of_session


@pytest.fixture
def start_rabbitmq(tmp_path: Path, free_port: Callable[[], int]) -> Iterator[StartRabbitMQ]:
    """A function that starts an AMQP broker of the test's own; all of them are ended after the test."""
    requires_server("rabbitmq")
    started: list[RabbitMQ] = []

    def start(**options: Unpack[RabbitOptions]) -> RabbitMQ:
        folder = tmp_path / f"rabbitmq-{len(started)}"
        broker = RabbitMQ.create(folder, free_port=free_port, **options)
        started.append(broker)
        broker.start()
        return broker

    yield start
    for broker in started:
        broker.stop()
