"""An adapter kind of the tests whose sink writes down what it gets, and refuses what it is told to."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import pytest
from pydantic import BaseModel, ConfigDict

from canonical import spec
from canonical.errors import CrossplantError
from canonical.ports import Accepted, Delivery, Failed, SinkOutcome
from canonical.spec import AdapterContext, AdapterSpec, SinkTraits

__all__ = ["Ledger", "install"]


class Options(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Ledger:
    """What all sinks of the kind got, in order: (idempotency key, payload)."""

    got: ClassVar[list[tuple[str, Any]]] = []
    refuse: ClassVar[Callable[[Any], CrossplantError | None]] = staticmethod(lambda _: None)

    def __init__(self, options: Options, context: AdapterContext) -> None:
        context.health.connected = True

    async def open(self) -> None:
        """Ready at once."""

    async def close(self) -> None:
        """Nothing to close."""

    async def send(self, deliveries: Sequence[Delivery]) -> Sequence[SinkOutcome]:
        """Accepted, or refused."""
        outcomes: list[SinkOutcome] = []
        for delivery in deliveries:
            payload = json.loads(delivery.payload)
            error = Ledger.refuse(payload)
            if error is None:
                Ledger.got.append((delivery.idempotency_key, payload))
            receipt = f"doc-{len(Ledger.got)}" if len(Ledger.got) % 3 == 0 else ""  # kept in ranges without
            outcomes.append(Accepted(receipt) if error is None else Failed(error))
        return outcomes


SPEC = AdapterSpec(
    kind="ledger",
    summary="of the tests",
    config=Options,
    sink=Ledger,
    traits=SinkTraits(concurrency=100, max_batch=100),
)


def install(monkeypatch: pytest.MonkeyPatch) -> None:
    """From here on the kind is installed beside the others, and its sinks have got nothing."""
    others = spec.adapter_spec
    monkeypatch.setattr(spec, "adapter_spec", lambda kind: SPEC if kind == "ledger" else others(kind))
    monkeypatch.setattr(Ledger, "got", [])
    monkeypatch.setattr(Ledger, "refuse", staticmethod(lambda _: None))
