"""Whether the servers that a test needs are installed, and what is said when they are not."""

import os
import shutil
import subprocess
import tempfile
from importlib.util import find_spec
from pathlib import Path

import pytest

__all__ = ["PEERS", "program", "rabbitmq_script", "requires_server"]

PEERS = Path(__file__).parent.parent / "peers"
SEARCH_PATH = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin", "/usr/local/sbin"])
RABBITMQ_SCRIPTS = Path("/usr/lib/rabbitmq/bin")
"""Debian's scripts as they come from upstream; those on the PATH insist on the user of Debian's service."""


def requires_server(name: str) -> None:
    """Returns when the server is installed; else the test is reported as *not run*, by name, with the reason.

    With CROSSPLANT_REQUIRE_SERVICES=1 it fails instead. Names: "mosquitto", "mosquitto_pub", "curl",
    "sshd", "node-opcua", "rabbitmq", "chromium", "axe-core", "faketime",
    "promtool", "fuse", "mount" (root, loop devices).
    """
    reason = _missing(name)
    if reason is None:
        return
    if os.environ.get("CROSSPLANT_REQUIRE_SERVICES") == "1":
        pytest.fail(f"required, but not run: {reason}", pytrace=False)
    pytest.skip(f"not run: {reason}")


def program(name: str) -> str:
    """The path of an installed program, also where only root's PATH would find it."""
    path = _find(name)
    if path is None:
        raise FileNotFoundError(name)
    return path


def rabbitmq_script(name: str) -> str:
    """The path of `rabbitmq-server` or `rabbitmqctl`, one that any user may run."""
    path = shutil.which(name, path=str(RABBITMQ_SCRIPTS)) or _find(name)
    if path is None:
        raise FileNotFoundError(name)
    return path


def _missing(name: str) -> str | None:
    match name:
        case "mosquitto":
            return None if _find("mosquitto") else "mosquitto is not installed (Debian: mosquitto)"
        case "mosquitto_pub" | "curl" | "faketime" | "promtool":
            package = {"mosquitto_pub": "mosquitto-clients", "promtool": "prometheus"}.get(name, name)
            return None if _find(name) else f"{name} is not installed (Debian: {package})"
        case "sshd":
            missing = [each for each in ("sshd", "sftp", "ssh-keygen") if _find(each) is None]
            packages = "openssh-server and openssh-client"
            return f"{', '.join(missing)}: not installed (Debian: {packages})" if missing else None
        case "rabbitmq":
            found = _find("rabbitmq-server") and _find("epmd")
            return None if found else "rabbitmq-server is not installed (Debian: rabbitmq-server)"
        case "fuse" | "mount":
            return {"fuse": _fuse_missing, "mount": _mount_missing}[name]()
        case "chromium":
            return None if _find("chromium") else "chromium is not installed (Debian: chromium)"
        case "axe-core":
            installed = (PEERS / "node_modules" / "axe-core" / "axe.min.js").is_file()
            return None if installed else "the npm peers are not installed (npm ci in tests/peers)"
        case "node-opcua":
            if _find("node") is None:
                return "node is not installed (Debian: nodejs and npm)"
            installed = (PEERS / "node_modules" / "node-opcua-server").is_dir()
            return None if installed else "the npm peers are not installed (npm ci in tests/peers)"
        case _:
            raise ValueError(f"no server is known by the name {name!r}")


def _fuse_missing() -> str | None:
    if not os.access("/dev/fuse", os.R_OK | os.W_OK):
        return "there is no /dev/fuse that we may use"
    if find_spec("mfusepy") is None:
        return "mfusepy is not installed"
    return None if _find("fusermount3") else "FUSE is not installed (Debian: fuse3)"


def _mount_missing() -> str | None:
    missing = [each for each in ("mount", "umount", "fsfreeze", "mkfs.ext4") if _find(each) is None]
    if missing:
        return f"{', '.join(missing)}: not installed (Debian: mount, util-linux-extra, e2fsprogs)"
    if not os.access("/dev/loop-control", os.R_OK | os.W_OK):
        return "there are no loop devices that we may use"
    with tempfile.TemporaryDirectory() as place:
        try:
            kind = [*(program("mount"), "-t", "tmpfs", "-o", "size=1m", "tmpfs"), place]
            subprocess.run(kind, check=True, capture_output=True, timeout=30)
            subprocess.run([program("umount"), place], check=True, capture_output=True, timeout=30)
        except subprocess.CalledProcessError as error:
            return f"nothing can be mounted here, which needs root: {error.stderr.decode().strip()}"
    return None


def _find(name: str) -> str | None:
    return shutil.which(name, path=SEARCH_PATH)
