"""TLS: who is trusted, who is refused, and that secrets stay secret."""

from __future__ import annotations

from pathlib import Path

import pytest

from adapters.amqp.config import AmqpOptions
from adapters.amqp.sink import AmqpSink
from adapters.amqp.source import AmqpSource
from adapters.conformance.proxy import FaultProxy
from canonical.errors import ConfigError
from canonical.ports import Accepted
from tests.adapters.amqp.conftest import LoggedHub, MakeOptions
from tests.adapters.amqp.deliveries import delivery
from tests.certificates import Authority
from tests.servers import RabbitMQ
from tests.waiting import eventually

pytestmark = [pytest.mark.requires_server("rabbitmq"), pytest.mark.xdist_group("rabbitmq")]


async def _is_refused(hub: LoggedHub, settings: AmqpOptions, reason: str) -> None:
    async with hub.runs(AmqpSource(settings, hub.new_context())):
        await eventually(lambda: reason in hub.context.health.detail)
        assert not hub.context.health.connected


async def test_tls_works_with_the_authority_as_a_path_or_as_text(
    rabbitmq: RabbitMQ, queue: str, hub: LoggedHub, options: MakeOptions
) -> None:
    payload = bytes(range(256)) * 2_000
    path = rabbitmq.authority.certificate_path
    for ca in (str(path), path.read_text()):
        hub.committed.clear()
        settings = options(f"localhost:{rabbitmq.tls_port}", scheme="amqps", queue=queue, tls={"ca": ca})
        async with hub.runs(AmqpSource(settings, hub.new_context())):
            sink = AmqpSink(settings, hub.context)
            await sink.open()
            deliveries = [delivery(number, payload=payload, routing_key=queue) for number in range(3)]
            assert list(await sink.send(deliveries)) == [Accepted()] * 3
            await sink.close()
            await eventually(lambda: len(hub.committed) == 3)
        assert [raw.body for raw in hub.committed] == [payload] * 3


async def test_a_server_that_our_authority_did_not_certify_is_refused(
    rabbitmq: RabbitMQ, hub: LoggedHub, options: MakeOptions, tmp_path: Path
) -> None:
    other = Authority.create(tmp_path / "other")
    for tls in ({"ca": str(other.certificate_path)}, {}):
        settings = options(f"localhost:{rabbitmq.tls_port}", scheme="amqps", queue="q", tls=tls)
        await _is_refused(hub, settings, "is not accepted: ")


async def test_a_certificate_for_another_host_name_is_refused(
    rabbitmq: RabbitMQ, hub: LoggedHub, options: MakeOptions
) -> None:
    proxy = FaultProxy(rabbitmq.host, rabbitmq.tls_port)
    proxy.host = "127.0.0.2"  # the certificate names localhost and 127.0.0.1
    async with proxy:
        tls = {"ca": str(rabbitmq.authority.certificate_path)}
        settings = options(f"127.0.0.2:{proxy.port}", scheme="amqps", queue="q", tls=tls)
        await _is_refused(hub, settings, "certificate is not valid for '127.0.0.2'")


async def test_a_broker_without_tls_does_not_get_our_password(
    rabbitmq: RabbitMQ, hub: LoggedHub, options: MakeOptions
) -> None:
    settings = options(
        f"localhost:{rabbitmq.port}", scheme="amqps", queue="q", username="hub", password="canary"
    )
    await _is_refused(hub, settings, "next attempt")
    assert "canary" not in rabbitmq.log_path.read_text()


async def test_a_black_hole_in_tls_does_not_hold_up_the_end(
    rabbitmq: RabbitMQ, queue: str, hub: LoggedHub, options: MakeOptions
) -> None:
    async with FaultProxy(rabbitmq.host, rabbitmq.tls_port) as proxy:
        tls = {"ca": str(rabbitmq.authority.certificate_path)}
        settings = options(f"localhost:{proxy.port}", scheme="amqps", queue=queue, tls=tls)
        async with hub.runs(AmqpSource(settings, hub.new_context())):
            await eventually(lambda: hub.context.health.connected)
            proxy.black_hole()
            await eventually(lambda: not hub.context.health.connected, 4)
            proxy.heal()
            await eventually(lambda: hub.context.health.connected)


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
    settings = options("localhost:1", scheme="amqps", tls=tls)
    for one in (AmqpSource(settings, hub.new_context()), AmqpSink(settings, hub.new_context())):
        with pytest.raises(ConfigError, match=complaint):
            await one.open()
        await one.close()
