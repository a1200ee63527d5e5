"""TLS and credentials: who is trusted, who is refused, and that secrets stay secret."""

from __future__ import annotations

from pathlib import Path

import pytest

from adapters.conformance.proxy import FaultProxy
from adapters.mqtt.config import MqttOptions
from adapters.mqtt.sink import MqttSink
from adapters.mqtt.source import MqttSource
from canonical.errors import ConfigError
from canonical.ports import Accepted
from tests.adapters.mqtt.conftest import LoggedHub, MakeOptions
from tests.adapters.mqtt.deliveries import delivery
from tests.certificates import Authority
from tests.servers import Mosquitto, StartMosquitto
from tests.waiting import eventually


async def _works(hub: LoggedHub, settings: MqttOptions) -> None:
    """A delivery comes back in through a subscription, both over the same settings; large, too."""
    payload = bytes(range(256)) * 8_000
    async with hub.runs(MqttSource(settings, hub.new_context())):
        await eventually(lambda: hub.context.health.connected)
        sink = MqttSink(settings, hub.context)
        await sink.open()
        deliveries = [delivery(n, payload=payload, topic="acme/brno/press") for n in range(3)]
        assert list(await sink.send(deliveries)) == [Accepted()] * 3
        await sink.close()
        await eventually(lambda: len(hub.committed) == 3)
    assert [raw.body for raw in hub.committed] == [payload] * 3


async def _is_refused(hub: LoggedHub, settings: MqttOptions, reason: str) -> None:
    async with hub.runs(MqttSource(settings, hub.new_context())):
        await eventually(lambda: reason in hub.context.health.detail)
        assert not hub.context.health.connected


async def test_tls_works_with_the_authority_as_a_path_or_as_text(
    start_mosquitto: StartMosquitto, hub: LoggedHub, options: MakeOptions
) -> None:
    broker = start_mosquitto(tls=True)
    assert broker.ca_path is not None
    for ca in (str(broker.ca_path), broker.ca_path.read_text()):
        hub.committed.clear()
        await _works(hub, options(f"localhost:{broker.port}", scheme="mqtts", tls={"ca": ca}))


async def test_a_server_that_our_authority_did_not_certify_is_refused(
    start_mosquitto: StartMosquitto, hub: LoggedHub, options: MakeOptions, tmp_path: Path
) -> None:
    broker = start_mosquitto(tls=True)
    other = Authority.create(tmp_path / "other")
    for tls in ({"ca": str(other.certificate_path)}, {}):
        settings = options(f"localhost:{broker.port}", scheme="mqtts", tls=tls)
        await _is_refused(hub, settings, "is not accepted: ")


async def test_a_certificate_for_another_host_name_is_refused(
    start_mosquitto: StartMosquitto, hub: LoggedHub, options: MakeOptions
) -> None:
    broker = start_mosquitto(tls=True)
    proxy = FaultProxy(broker.host, broker.port)
    proxy.host = "127.0.0.2"  # the certificate names localhost and 127.0.0.1
    async with proxy:
        settings = options(f"127.0.0.2:{proxy.port}", scheme="mqtts", tls={"ca": str(broker.ca_path)})
        await _is_refused(hub, settings, "IP address mismatch, certificate is not valid for '127.0.0.2'")


async def test_a_client_certificate_lets_us_in(
    start_mosquitto: StartMosquitto, hub: LoggedHub, options: MakeOptions
) -> None:
    broker = start_mosquitto(tls=True, client_certificates=True)
    assert broker.authority is not None
    issued = broker.authority.issue("crossplant")
    ca = str(broker.ca_path)
    as_paths = {"certificate": str(issued.certificate_path), "key": str(issued.key_path)}
    as_text = {"certificate": issued.certificate_path.read_text(), "key": issued.key_path.read_text()}
    for pair in (as_paths, as_text):
        hub.committed.clear()
        await _works(hub, options(f"localhost:{broker.port}", scheme="mqtts", tls={"ca": ca, **pair}))
    without = options(f"localhost:{broker.port}", scheme="mqtts", tls={"ca": ca})
    await _is_refused(hub, without, "next attempt")


async def test_a_broker_without_tls_does_not_get_our_password(
    mosquitto: Mosquitto, hub: LoggedHub, options: MakeOptions
) -> None:
    settings = options(f"localhost:{mosquitto.port}", scheme="mqtts", username="hub", password="canary")
    await _is_refused(hub, settings, "next attempt")
    assert "canary" not in mosquitto.log_path.read_text()


@pytest.mark.parametrize("protocol", ["5", "3.1.1"])
async def test_user_and_password_let_us_in_and_never_show(
    start_mosquitto: StartMosquitto, hub: LoggedHub, options: MakeOptions, protocol: str
) -> None:
    broker = start_mosquitto(users={"hub": "canary-right"})
    address = f"{broker.host}:{broker.port}"
    await _works(hub, options(address, username="hub", password="canary-right", protocol=protocol))
    wrong = options(address, username="hub", password="canary-wrong", protocol=protocol)
    await _is_refused(hub, wrong, "not authorized")
    assert "canary" not in str(hub.log.records) + hub.context.health.detail


@pytest.mark.parametrize(
    ("tls", "complaint"),
    [
        ({"ca": "/nowhere/ca.pem"}, "tls.ca cannot be used"),
        (
            {"ca": "-----BEGIN CERTIFICATE-----\nrubbish\n-----END CERTIFICATE-----\n"},
            "tls.ca cannot be used",
        ),
        (
            {"certificate": "/nowhere/c.pem", "key": "/nowhere/c.key"},
            "tls.certificate and tls.key cannot be used",
        ),
    ],
)
async def test_unusable_certificates_stop_at_start(
    hub: LoggedHub, options: MakeOptions, tls: dict[str, str], complaint: str
) -> None:
    settings = options("localhost:1", scheme="mqtts", tls=tls)
    for one in (MqttSource(settings, hub.new_context()), MqttSink(settings, hub.new_context())):
        with pytest.raises(ConfigError, match=complaint):
            await one.open()
        await one.close()
