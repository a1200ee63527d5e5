"""What outlives the process: which subscription we had, and how far we got in it. Commits with the values."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from hashlib import blake2b

import msgspec
from msgspec import Struct

from adapters.opcua.config import OpcuaConfig

__all__ = ["Durable", "decode_durable", "encode_durable", "fingerprint"]


class Durable(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """``epoch`` names the subscription for ever; its ``subscription_id`` may come again, 0 when it is gone.

    ``server_started_at``: of the server that had it. ``wishes``: fingerprint of what was subscribed.
    ``quiet_s``: after so long a silence the server says that it is alive.
    ``last``: the last sequence number taken in, at ``heard_at``. ``refused``: handles that it lacks.
    """

    epoch: str
    subscription_id: int
    server_started_at: str
    wishes: str
    quiet_s: float
    last: int = 0
    heard_at: datetime | None = None
    refused: tuple[int, ...] = ()

    def at(self, sequence: int, now: datetime) -> Durable:
        """The same, one notification later."""
        return msgspec.structs.replace(self, last=sequence, heard_at=now)

    def without(self, refused: Iterable[int]) -> Durable:
        """The same, with these tags refused."""
        return msgspec.structs.replace(self, refused=tuple(sorted(refused)))


_decoder = msgspec.json.Decoder(Durable)


def encode_durable(durable: Durable) -> bytes:
    """As bytes for the journal."""
    return msgspec.json.encode(durable)


def decode_durable(state: bytes | None) -> Durable | None:
    """The mirror; None for none, and for what another release may have written."""
    if not state:
        return None
    try:
        return _decoder.decode(state)
    except msgspec.DecodeError:
        return None


def fingerprint(settings: OpcuaConfig) -> str:
    """Changes whenever a subscription made for these settings would be another one."""
    wishes = settings.model_dump(
        mode="json",
        include={
            "url": True,
            "tags": {"__all__": {"node", "sampling_interval", "deadband"}},
            "publishing_interval": True,
            "sampling_interval": True,
            "keep_alive_count": True,
            "lifetime_count": True,
            "queue_size": True,
            "discard_oldest": True,
            "max_notifications": True,
        },
    )
    return blake2b(msgspec.json.encode(wishes, order="deterministic"), digest_size=8).hexdigest()
