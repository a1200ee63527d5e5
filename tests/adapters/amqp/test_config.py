"""What an operator may write, and what is said otherwise."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from typing import Any

import pytest
import yaml
from pydantic import BaseModel, ValidationError

from adapters.amqp import SPEC
from adapters.amqp.config import AmqpOptions, AmqpTarget, Binding, DeclareOptions, TlsOptions

URL = "amqp://rabbit.example.com"
COMMON = {"kind", "plant", "format"}


def test_a_small_configuration_is_enough() -> None:
    options = AmqpOptions.model_validate({"url": URL, "queue": "orders"})
    assert (options.host, options.port, options.vhost, options.secure) == (
        "rabbit.example.com",
        5672,
        "/",
        False,
    )
    assert (options.prefetch, options.heartbeat, options.declare_queue) == (500, 20.0, None)
    assert options.receives


def test_port_and_virtual_host_follow_the_url() -> None:
    secure = AmqpOptions.model_validate({"url": "amqps://[::1]/acme%2Fmes"})
    assert (secure.host, secure.port, secure.vhost, secure.secure) == ("::1", 5671, "acme/mes", True)
    assert not secure.receives


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({}, "url"),
        ({"url": "http://host"}, "amqp:// or amqps://"),
        ({"url": "amqp://"}, "names no host"),
        ({"url": "amqp://user:pw@host"}, "username: and password:"),
        ({"url": "amqp://host/a/b"}, "%2F"),
        ({"url": "amqp://host?heartbeat=5"}, "only the virtual host"),
        ({"url": "amqp://host:0"}, "1 to 65535"),
        ({"url": "amqp://host:70000"}, "1 to 65535"),
        ({"url": URL, "heart_beat": "3s"}, "Extra inputs are not permitted"),
        ({"url": URL, "heartbeat": 30}, "needs its unit"),
        ({"url": URL, "prefetch": 0}, "greater than or equal to 1"),
        ({"url": URL, "queue": "q" * 256}, "255 at most"),
        ({"url": URL, "username": "x"}, "go together"),
        ({"url": URL, "password": "x"}, "go together"),
        ({"url": URL, "declare_queue": {}}, "needs a queue"),
        ({"url": URL, "queue": "q", "declare_queue": {"delivery_limit": 0}}, "greater than or equal to 1"),
        ({"url": URL, "tls": {"ca": "ca.pem"}}, "for amqps:// only"),
        ({"url": "amqps://host", "tls": {"certificate": "c.pem"}}, "go together"),
        ({"url": "amqps://host", "tls": {"insecure": True}}, "Extra inputs are not permitted"),
    ],
)
def test_a_wrong_configuration_is_refused_with_the_reason(options: Mapping[str, Any], complaint: str) -> None:
    with pytest.raises(ValidationError, match=complaint):
        AmqpOptions.model_validate(options)


@pytest.mark.parametrize(
    ("target", "complaint"),
    [
        ({}, "exchange, or the name of a queue"),
        ({"exchange": "mes", "routing_key": "k" * 256}, "255 at most"),
        ({"exchange": "mes", "headers": {"list": [1]}}, "headers"),
        ({"exchange": "mes", "persistent": True}, "Extra inputs are not permitted"),
    ],
)
def test_a_wrong_target_is_refused_with_the_reason(target: Mapping[str, Any], complaint: str) -> None:
    with pytest.raises(ValidationError, match=complaint):
        AmqpTarget.model_validate(target)


@pytest.mark.parametrize("model", [AmqpOptions, AmqpTarget, Binding, DeclareOptions, TlsOptions])
def test_every_option_is_described(model: type[BaseModel]) -> None:
    undescribed = [name for name, field in model.model_fields.items() if not field.description]
    assert not undescribed


def test_the_password_does_not_show() -> None:
    options = AmqpOptions.model_validate({"url": URL, "username": "hub", "password": "canary"})
    assert "canary" not in repr(options)
    assert "canary" not in options.model_dump_json()


@pytest.mark.parametrize(
    ("options", "risky"),
    [
        ({"url": URL, "username": "hub", "password": "x"}, ["url"]),
        ({"url": URL}, ["username"]),
        ({"url": "amqps://rabbit.example.com", "username": "hub", "password": "x"}, []),
        ({"url": "amqp://localhost", "username": "hub", "password": "x"}, []),
    ],
)
def test_what_is_risky_is_said(options: Mapping[str, Any], risky: list[str]) -> None:
    assert [option for option, _ in AmqpOptions.model_validate(options).warnings()] == risky


def test_the_example_is_one_that_is_accepted() -> None:
    example = yaml.safe_load(SPEC.example)
    (adapter,) = example["adapters"].values()
    AmqpOptions.model_validate({name: adapter[name] for name in adapter if name not in COMMON})
    (route,) = example["routes"].values()
    AmqpTarget.model_validate({name: route["to"][name] for name in route["to"] if name != "adapter"})


def test_looking_the_kind_up_imports_no_client_library() -> None:
    code = "import sys, adapters.amqp; sys.exit(any('pika' in m or 'aiormq' in m for m in sys.modules))"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
