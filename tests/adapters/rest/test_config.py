"""What an operator may write for ``kind: rest``, and what is refused with a reason."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
import yaml
from pydantic import ValidationError

from adapters.rest import SPEC
from adapters.rest.config import RestConfig, RestTarget
from canonical.duration import with_units

COMMON = {"kind", "plant", "partner", "format"}
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


def test_the_example_is_valid() -> None:
    written = yaml.safe_load(SPEC.example)
    for options in written["adapters"].values():
        RestConfig.model_validate({name: value for name, value in options.items() if name not in COMMON})
    for route in written["routes"].values():
        RestTarget.model_validate({name: value for name, value in route["to"].items() if name != "adapter"})


def test_the_spec_loads_no_client_library() -> None:
    code = "import sys, adapters.rest; sys.exit('aiohttp' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_every_option_is_described() -> None:
    schema = with_units(RestConfig.model_json_schema())
    models = [schema, RestTarget.model_json_schema(), *schema["$defs"].values()]
    nameless = [
        f"{model['title']}.{name}"
        for model in models
        for name, option in model["properties"].items()
        if "description" not in option
    ]
    assert not nameless
    assert schema["properties"]["timeout"]["default"] == "30s"


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({}, "url is missing"),
        ({"url": "erp.example.com"}, "write a full URL"),
        ({"url": "ftp://erp.example.com"}, "write a full URL"),
        ({"url": "https://u:p@erp.example.com"}, "no credentials in the URL"),
        ({"url": "https://erp.example.com/?a=b"}, "no query or fragment"),
        ({"url": "https://erp.example.com:99999/"}, "Port out of range"),
        ({"url": "http://x", "colour": "red"}, "Extra inputs are not permitted"),
        ({"url": "http://x", "timeout": 30}, "needs its unit"),
        ({"url": "http://x", "timeout": "0s"}, "greater than 0"),
        ({"url": "http://x", "concurrency": 17}, "less than or equal to 16"),
        ({"url": "http://x", "token": "t", "header": {"name": "X-Key", "value": "v"}}, "use one of token"),
        ({"url": "http://x", "token": "two\nlines"}, "characters that a header cannot carry"),
        ({"url": "http://x", "token": "\n"}, "is empty"),
        ({"url": "http://x", "basic": {"username": "a:b", "password": "p"}}, "should match pattern"),
        ({"url": "http://x", "headers": {"Authorization": "Bearer t"}}, "is set by the adapter"),
        ({"url": "http://x", "headers": {"X Y": "1"}}, "not a header name"),
        ({"url": "http://x", "headers": {"X-Y": "1\r\nX-Z: 2"}}, "characters that a header cannot carry"),
        ({"url": "http://x", "tls": {"certificate": "c.pem"}}, "certificate and key go together"),
        ({"url": "http://x", "poll": {"items": "payload."}}, "column 9"),
        ({"url": "http://x", "poll": {"items": "data.value"}}, "undeclared reference to 'data"),
        ({"url": "http://x", "poll": {"id": "item.id"}}, "id needs items"),
        ({"url": "http://x", "poll": {"body": {}}}, "body needs method: POST"),
        ({"url": "http://x", "poll": {"every": "10ms"}}, "greater than or equal to 0.1"),
        ({"url": "http://x", "lookup": {"path": "a/{key"}}, "never closed"),
        ({"webhook": {}}, "verify"),
        ({"webhook": {"verify": {"kind": "none", "secret": "s"}}}, "does not match any of the expected tags"),
        (
            {"url": "http://x", "poll": {}, "webhook": {"verify": {"kind": "bearer", "secret": "s"}}},
            "make two adapters",
        ),
    ],
)
def test_what_cannot_work_is_refused(options: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ValidationError) as raised:
        RestConfig.model_validate(options)
    assert complaint in str(raised.value)


def test_a_webhook_needs_no_url() -> None:
    RestConfig.model_validate({"webhook": {"verify": {"kind": "standard-webhooks", "secret": SECRET}}})


def test_secrets_show_up_nowhere() -> None:
    settings = RestConfig.model_validate(
        {
            "url": "http://x",
            "token": "tok-canary\n",
            "webhook": {"verify": {"kind": "hmac", "secret": "hook-canary", "previous": "old-canary"}},
        }
    )
    assert settings.token is not None
    assert settings.token.get_secret_value() == "tok-canary"
    for text in (repr(settings), str(settings), settings.model_dump_json(), str(settings.model_dump())):
        assert "canary" not in text
    with pytest.raises(ValidationError) as raised:
        RestConfig.model_validate({"url": "http://x", "token": "canary\nline"})
    assert "canary" not in str(raised.value)


@pytest.mark.parametrize(
    "target",
    [
        {"method": "GET"},
        {"headers": {"Host": "other"}},
        {"headers": {"Authorization": "x"}},
        {"success": [99]},
        {"receipt": "id"},
        {"nonsense": 1},
    ],
)
def test_a_route_cannot_set_what_would_break_the_request(target: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        RestTarget.model_validate(target)
