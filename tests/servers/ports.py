"""Free ports on loopback, safe for parallel test processes and for servers that restart.

A lease is a locked file: while it lasts no other test process gets the port, also when its server is down.
"""

import fcntl
import itertools
import os
import random
import socket
import tempfile
from pathlib import Path

__all__ = ["LOOPBACK", "free_port", "give_back"]

LOOPBACK = "127.0.0.1"
PORTS = range(20_000, 32_000)  # below Linux's ephemeral range, so that no client socket takes one meanwhile

_leases: dict[int, int] = {}


def free_port() -> int:
    """A TCP port on loopback that nobody listens on, kept for this process until it is given back."""
    folder = Path(tempfile.gettempdir()) / f"crossplant-test-ports-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    first = random.randrange(len(PORTS))
    for port in itertools.chain(PORTS[first:], PORTS[:first]):
        lease = os.open(folder / str(port), os.O_CREAT | os.O_RDWR, 0o600)
        try:
            fcntl.flock(lease, fcntl.LOCK_EX | fcntl.LOCK_NB)
            with socket.socket() as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind((LOOPBACK, port))
        except OSError:
            os.close(lease)
            continue
        _leases[port] = lease
        return port
    raise RuntimeError("every port for tests is taken")


def give_back(port: int) -> None:
    """Ends the lease of a port; unknown ports are ignored."""
    lease = _leases.pop(port, None)
    if lease is not None:
        os.close(lease)
