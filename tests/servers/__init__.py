"""Real servers that tests start on loopback, on free ports, in temporary folders, and end by pid.

The fixtures in conftest.py hand them out: `mosquitto`, `start_mosquitto`, `opcua_peer`, `start_opcua_peer`,
`rabbitmq`, `start_rabbitmq`, `start_sshd`.
Their methods block for some milliseconds; a test that must go on meanwhile calls them through
`asyncio.to_thread`.
"""

from tests.servers.mosquitto import BrokerOptions, Mosquitto, StartMosquitto
from tests.servers.opcua_peer import OpcuaPeer, PeerOptions, StartOpcuaPeer
from tests.servers.openssh import OpenSsh, StartOpenSsh
from tests.servers.ports import free_port, give_back
from tests.servers.process import Process
from tests.servers.rabbitmq import RabbitMQ, RabbitOptions, StartRabbitMQ
from tests.servers.required import requires_server

__all__ = [
    "BrokerOptions",
    "Mosquitto",
    "OpcuaPeer",
    "OpenSsh",
    "PeerOptions",
    "Process",
    "RabbitMQ",
    "RabbitOptions",
    "StartMosquitto",
    "StartOpcuaPeer",
    "StartOpenSsh",
    "StartRabbitMQ",
    "free_port",
    "give_back",
    "requires_server",
]
