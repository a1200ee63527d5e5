"""What the MQTT tests share: a stand-in for the hub whose log can be read, and quick options."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from adapters.conformance.hub import Hub
from adapters.mqtt.config import MqttOptions
from canonical.spec import AdapterContext

MakeOptions = Callable[..., MqttOptions]


class RecordingLog:
    """Keeps what is logged: (level, event, fields)."""

    def __init__(self) -> None:
        self.records: list[tuple[str, str, dict[str, Any]]] = []

    def debug(self, event: str, **fields: Any) -> None:
        self.records.append(("debug", event, fields))

    def info(self, event: str, **fields: Any) -> None:
        self.records.append(("info", event, fields))

    def warning(self, event: str, **fields: Any) -> None:
        self.records.append(("warning", event, fields))

    def error(self, event: str, **fields: Any) -> None:
        self.records.append(("error", event, fields))

    def count(self, event: str) -> int:
        """How often this was logged."""
        return sum(logged == event for _, logged, _ in self.records)


class LoggedHub(Hub):
    """The suite's hub; ``log`` holds what was logged in all its lives."""

    def __init__(self, data_dir: Path) -> None:
        self.log = RecordingLog()
        super().__init__(data_dir)

    def new_context(self) -> AdapterContext:
        context = super().new_context()
        context.log = self.log
        return context


@pytest.fixture
def hub(tmp_path: Path) -> LoggedHub:
    """A hub without a past."""
    return LoggedHub(tmp_path / "hub")


@pytest.fixture
def options() -> MakeOptions:
    """Options with short times; the first argument is host:port, the rest overrides."""

    def make(address: str, scheme: str = "mqtt", **more: Any) -> MqttOptions:
        quick = {"keepalive": "1s", "connect_timeout": "3s", "publish_timeout": "3s", "max_backoff": "1s"}
        subscribe = [{"topic": "acme/{plant}/{line}"}]
        return MqttOptions.model_validate(
            {"url": f"{scheme}://{address}", "subscribe": subscribe, **quick, **more}
        )

    return make
