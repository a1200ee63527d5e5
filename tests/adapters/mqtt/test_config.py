"""What an operator may write, and what is said otherwise."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import ValidationError

from adapters import mqtt
from adapters.mqtt import SPEC
from adapters.mqtt.config import MqttOptions, MqttTarget, Subscription, TlsOptions

README = Path(mqtt.__file__).with_name("README.md")
COMMON = {"kind", "plant", "format"}
URL = "mqtt://broker.example.com"


def test_a_small_configuration_is_enough() -> None:
    options = MqttOptions.model_validate({"url": URL, "subscribe": [{"topic": "acme/{line}/+"}]})
    assert (options.host, options.port, options.secure) == ("broker.example.com", 1883, False)
    assert (options.protocol, options.keepalive, options.receive_maximum) == ("5", 30.0, 1_000)
    assert options.subscribe[0].qos == 1


def test_the_port_follows_the_scheme() -> None:
    secure = MqttOptions.model_validate({"url": "mqtts://[::1]"})
    assert (secure.host, secure.port, secure.secure) == ("::1", 8883, True)


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({}, "url"),
        ({"url": "tcp://host"}, "mqtt:// or mqtts://"),
        ({"url": "mqtt://"}, "names no host"),
        ({"url": "mqtt://user:pw@host"}, "username: and password:"),
        ({"url": "mqtt://host/topic"}, "topics belong into subscribe"),
        ({"url": "mqtt://host:0"}, "1 to 65535"),
        ({"url": "mqtt://host:70000"}, "1 to 65535"),
        ({"url": URL, "keep_alive": "3s"}, "Extra inputs are not permitted"),
        ({"url": URL, "keepalive": 30}, "needs its unit"),
        ({"url": URL, "receive_maximum": 0}, "greater than or equal to 1"),
        ({"url": URL, "protocol": "3"}, "'5' or '3.1.1'"),
        ({"url": URL, "subscribe": [{"topic": "a/#/b"}]}, "last level"),
        ({"url": URL, "subscribe": [{"topic": "a", "qos": 2}]}, "0 or 1"),
        ({"url": URL, "subscribe": [{"topic": "a/+"}, {"topic": "a/{b}"}]}, "'a/\\+' and 'a/{b}' overlap"),
        ({"url": URL, "password": "x"}, "needs a username"),
        ({"url": URL, "tls": {"ca": "ca.pem"}}, "for mqtts:// only"),
        ({"url": "mqtts://host", "tls": {"certificate": "c.pem"}}, "go together"),
        ({"url": "mqtts://host", "tls": {"insecure": True}}, "Extra inputs are not permitted"),
    ],
)
def test_a_wrong_configuration_is_refused_with_the_reason(options: Mapping[str, Any], complaint: str) -> None:
    with pytest.raises(ValidationError, match=complaint):
        MqttOptions.model_validate(options)


@pytest.mark.parametrize("model", [MqttOptions, MqttTarget, Subscription, TlsOptions])
def test_every_option_is_described(model: type[MqttOptions]) -> None:
    undescribed = [name for name, field in model.model_fields.items() if not field.description]
    assert not undescribed


def test_the_password_does_not_show() -> None:
    options = MqttOptions.model_validate({"url": URL, "username": "hub", "password": "canary"})
    assert "canary" not in repr(options)
    assert "canary" not in options.model_dump_json()


def test_what_is_risky_is_said() -> None:
    risky = {
        "url": URL,
        "username": "hub",
        "password": "x",
        "subscribe": [{"topic": "a"}, {"topic": "b", "qos": 0}],
    }
    assert [option for option, _ in MqttOptions.model_validate(risky).warnings()] == [
        "url",
        "subscribe.1.qos",
    ]
    on_loopback = {**risky, "url": "mqtt://localhost", "subscribe": []}
    assert not list(MqttOptions.model_validate(on_loopback).warnings())


def test_without_subscriptions_nothing_comes_in() -> None:
    assert not MqttOptions(url=URL).receives
    assert MqttOptions(url=URL, subscribe=(Subscription(topic="a"),)).receives


@pytest.mark.parametrize("text", [SPEC.example, README.read_text().split("```")[1].removeprefix("yaml")])
def test_the_examples_are_accepted(text: str) -> None:
    example = yaml.safe_load(text)
    (adapter,) = example["adapters"].values()
    MqttOptions.model_validate({name: adapter[name] for name in adapter if name not in COMMON})
    (route,) = example["routes"].values()
    MqttTarget.model_validate({name: route["to"][name] for name in route["to"] if name != "adapter"})


def test_looking_the_kind_up_imports_no_client_library() -> None:
    code = "import sys, adapters.mqtt; sys.exit('paho' in str([m for m in sys.modules if 'paho' in m]))"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_the_spec_declares_what_the_suite_proves() -> None:
    guarantees, traits = SPEC.guarantees, SPEC.traits
    assert guarantees.redelivers
    assert guarantees.back_pressure
    assert guarantees.stable_ids
    assert traits.ordered
    assert SPEC.config is MqttOptions
    assert SPEC.target is MqttTarget
