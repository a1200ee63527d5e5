"""Which host keys a server may show: lines of known_hosts, of ``ssh-keyscan``, or fingerprints. Pure."""

from __future__ import annotations

import base64
import binascii
import hashlib
import itertools
import re
from collections.abc import Sequence

from msgspec import Struct

__all__ = ["Pins", "fingerprint", "parse_pins"]

ALGORITHMS = {
    "ssh-ed25519": ("ssh-ed25519",),
    "ecdsa-sha2-nistp256": ("ecdsa-sha2-nistp256",),
    "ecdsa-sha2-nistp384": ("ecdsa-sha2-nistp384",),
    "ecdsa-sha2-nistp521": ("ecdsa-sha2-nistp521",),
    "ssh-rsa": ("rsa-sha2-512", "rsa-sha2-256"),
}
_FINGERPRINT = re.compile(r"SHA256:[A-Za-z0-9+/]{43}=?")


class Pins(Struct, frozen=True):
    """``fingerprints`` as OpenSSH writes them (``SHA256:…``). ``algorithms``: those to ask the server for;
    empty where only fingerprints are known."""

    fingerprints: frozenset[str]
    algorithms: tuple[str, ...] = ()


def fingerprint(blob: bytes) -> str:
    """As ``ssh-keygen -l`` shows it."""
    return "SHA256:" + base64.b64encode(hashlib.sha256(blob).digest()).decode().rstrip("=")


def parse_pins(texts: Sequence[str]) -> Pins:
    """The pins of one or more keys, several lines each. Raises ValueError that says what to write."""
    lines = [line.strip() for text in texts for line in text.splitlines()]
    pins = [_pin(line) for line in lines if line and not line.startswith("#")]
    if not pins:
        raise ValueError("host_key is empty: write a line of `ssh-keyscan HOST`, or SHA256:…")
    known = all(algorithms for _, algorithms in pins)
    wanted = dict.fromkeys(name for _, algorithms in pins for name in algorithms) if known else {}
    return Pins(frozenset(text for text, _ in pins), tuple(wanted))


def _pin(line: str) -> tuple[str, tuple[str, ...]]:
    if _FINGERPRINT.fullmatch(line):
        return line.rstrip("="), ()
    words = line.split()
    for word, following in itertools.pairwise(words):
        if word in ALGORITHMS:
            try:
                return fingerprint(base64.b64decode(following, validate=True)), ALGORITHMS[word]
            except binascii.Error:
                break
    raise ValueError(
        f"{line[:60]!r} is no host key: write a line of `ssh-keyscan HOST` (ssh-ed25519, ecdsa-sha2-nistp…, "
        "ssh-rsa) or a fingerprint as `ssh-keygen -lf` shows it, SHA256:…"
    )
