"""Who may call a webhook, and what becomes of a call."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from adapters.rest import SPEC
from adapters.rest.webhook import WebhookSource
from canonical.errors import ConfigError, Invalid, Unauthorized
from canonical.ports import RawMessage, Webhook
from tests.adapters.rest.peer import Log, context, options

# The example of the Standard Webhooks libraries.
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
OTHER = "whsec_" + base64.b64encode(b"another secret of ours").decode()
ID, STAMP, BODY = "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}'
SIGNATURE = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
SIGNED = {"webhook-id": ID, "webhook-timestamp": str(STAMP), "webhook-signature": SIGNATURE}


def webhook(verify: Mapping[str, str], *, at: float = STAMP, **given: Any) -> WebhookSource:
    settings = options(webhook={"verify": dict(verify), **given})
    here = replace(context(log=Log()), clock=lambda: datetime.fromtimestamp(at, UTC))
    assert SPEC.source is not None
    source = SPEC.source(settings, here)
    assert isinstance(source, WebhookSource)
    return source


def call(source: Webhook, headers: Mapping[str, str], body: bytes = BODY, **query: str) -> RawMessage:
    return source.accept(headers, query, body)


BEARER = {"kind": "bearer", "secret": "s3cret"}
STANDARD = {"kind": "standard-webhooks", "secret": SECRET}
HMAC = {"kind": "hmac", "secret": "s3cret"}


def test_bearer() -> None:
    source = webhook(BEARER)
    assert call(source, {"Authorization": "Bearer s3cret"}).body == BODY
    assert call(source, {"authorization": "bearer  s3cret "}).adapter == "erp"


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": ""},
        {"Authorization": "Bearer"},
        {"Authorization": "Bearer "},
        {"Authorization": "Basic s3cret"},
        {"Authorization": "Bearer s3cre"},
        {"Authorization": "Bearer s3crett"},
        {"Authorization": "Bearer \udcff"},
        {"X-Authorization": "Bearer s3cret"},
    ],
)
def test_no_or_a_wrong_token_is_refused(headers: dict[str, str]) -> None:
    with pytest.raises(Unauthorized) as raised:
        call(webhook(BEARER), headers)
    assert "s3c" not in f"{raised.value} {raised.value.context}"


@pytest.mark.parametrize("encoding", ["hex", "base64"])
@pytest.mark.parametrize("algorithm", ["sha256", "sha512"])
def test_hmac(encoding: str, algorithm: str) -> None:
    digest = hmac.new(b"s3cret", BODY, getattr(hashlib, algorithm)).digest()
    text = digest.hex() if encoding == "hex" else base64.b64encode(digest).decode()
    source = webhook(
        {**HMAC, "algorithm": algorithm, "encoding": encoding, "header": "X-Sign", "prefix": "v="}
    )
    assert call(source, {"x-sign": f"v={text}"}).body == BODY
    for wrong in (text, f"v={text[:-2]}", "v=", "v=zz", "", f"v={text} {text}", "v=é"):
        with pytest.raises(Unauthorized):
            call(source, {"x-sign": wrong})
    with pytest.raises(Unauthorized):
        call(source, {"x-sign": f"v={text}"}, BODY + b" ")


def test_hmac_as_github_signs() -> None:
    """The example of GitHub's documentation, "Validating webhook deliveries"."""
    source = webhook({"kind": "hmac", "secret": "It's a Secret to Everybody"})
    signature = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"
    headers = {"X-Hub-Signature-256": signature}
    assert call(source, headers, b"Hello, World!").body == b"Hello, World!"


def test_standard_webhooks() -> None:
    raw = call(webhook(STANDARD), SIGNED)
    assert (raw.id, raw.body) == (ID, BODY)
    assert raw.received_at == datetime.fromtimestamp(STAMP, UTC)


def test_standard_webhooks_with_several_signatures_and_secrets() -> None:
    source = webhook({"kind": "standard-webhooks", "secret": OTHER, "previous": SECRET})
    many = f"v1,{base64.b64encode(bytes(32)).decode()} v1a,abc v2,xyz {SIGNATURE}"
    assert call(source, {**SIGNED, "webhook-signature": many}).id == ID
    with pytest.raises(Unauthorized):
        call(webhook({"kind": "standard-webhooks", "secret": OTHER}), {**SIGNED, "webhook-signature": many})


@pytest.mark.parametrize(
    "wrong",
    [
        {"webhook-id": ""},
        {"webhook-id": "other"},
        {"webhook-timestamp": ""},
        {"webhook-timestamp": "soon"},
        {"webhook-timestamp": "-1614265330"},
        {"webhook-timestamp": "1614265330.0"},
        {"webhook-timestamp": "٣"},
        {"webhook-timestamp": "1614265331"},
        {"webhook-signature": ""},
        {"webhook-signature": SIGNATURE.removeprefix("v1,")},
        {"webhook-signature": SIGNATURE.replace("v1,", "v2,")},
        {"webhook-signature": "v1,"},
        {"webhook-signature": "v1,****"},
        {"webhook-signature": " ".join(["v1,AAAA"] * 20 + [SIGNATURE])},
    ],
)
def test_a_wrong_standard_webhook_is_refused(wrong: dict[str, str]) -> None:
    with pytest.raises(Unauthorized):
        call(webhook(STANDARD), {**SIGNED, **wrong})


@pytest.mark.parametrize(("off_s", "taken"), [(-301, False), (-299, True), (299, True), (301, False)])
def test_an_old_or_future_message_is_refused(off_s: int, taken: bool) -> None:
    source = webhook(STANDARD, at=STAMP + off_s)
    if taken:
        assert call(source, SIGNED).id == ID
        return
    with pytest.raises(Unauthorized, match="too far from our clock"):
        call(source, SIGNED)


def test_a_secret_that_is_not_base64_stops_the_start() -> None:
    with pytest.raises(ConfigError, match="whsec_ and base64"):
        webhook({"kind": "standard-webhooks", "secret": "whsec_***"})


@given(st.dictionaries(st.text(), st.text()), st.binary(max_size=100))
def test_strangers_are_refused_whatever_they_send(headers: dict[str, str], body: bytes) -> None:
    for verify in (BEARER, HMAC, STANDARD):
        with pytest.raises(Unauthorized):
            call(webhook(verify), headers, body)


AUTHORIZED = {"Authorization": "Bearer s3cret"}


def test_the_senders_id_is_the_messages_id() -> None:
    source = webhook(BEARER)
    assert call(source, {**AUTHORIZED, "idempotency-key": " k-1 "}).id == "k-1"
    assert call(source, {**AUTHORIZED, "Idempotency-Key": "k-1", "webhook-id": "w-1"}).id == "k-1"
    assert call(source, {**AUTHORIZED, "webhook-id": "w-1"}).id == "w-1"
    first, second = call(source, AUTHORIZED).id, call(source, AUTHORIZED).id
    assert first < second
    named = webhook(BEARER, id_header="X-GitHub-Delivery")
    assert call(named, {**AUTHORIZED, "x-github-delivery": "d-1", "Idempotency-Key": "k-1"}).id == "d-1"


def test_an_id_that_is_signed_goes_before_one_that_is_not() -> None:
    """Else a signed message could be replayed under other ids."""
    assert call(webhook(STANDARD), {**SIGNED, "Idempotency-Key": "again"}).id == ID


def test_headers_and_query_are_attributes() -> None:
    source = webhook(BEARER, headers=["X-Request-Id", "X-Absent"])
    raw = call(source, {**AUTHORIZED, "X-REQUEST-ID": "r", "Cookie": "c"}, plant="aachen")
    assert raw.attributes == {"header.x-request-id": "r", "query.plant": "aachen"}
    assert call(source, {**AUTHORIZED, "content-type": "text/csv; charset=latin1"}).content_type == (
        "text/csv; charset=latin1"
    )


@pytest.mark.parametrize(
    ("headers", "body", "query", "code"),
    [
        ({}, b"x" * 1001, {}, "too_large"),
        ({"Content-Type": "text/plain"}, b"x", {}, "content_type"),
        ({"Content-Encoding": "gzip"}, b"x", {}, "content_type"),
        ({}, b"", {}, "empty"),
        ({"Idempotency-Key": "x" * 256}, b"x", {}, "id"),
        ({"Idempotency-Key": "a\x1bb"}, b"x", {}, "id"),
        ({}, b"x", {str(number): "" for number in range(33)}, "parameters"),
        ({}, b"x", {"a": "b" * 1100}, "parameters"),
    ],
)
def test_what_is_wrong_with_a_call(
    headers: dict[str, str], body: bytes, query: dict[str, str], code: str
) -> None:
    source = webhook(BEARER, max_body="1KB", content_types=["application/json"])
    with pytest.raises(Invalid) as raised:
        source.accept({**AUTHORIZED, "Content-Type": "Application/JSON", **headers}, query, body)
    assert raised.value.code == code


async def test_it_yields_nothing_and_ends_with_close() -> None:
    source = webhook(BEARER)
    await source.open()
    receiving = asyncio.create_task(_all(source))
    await asyncio.sleep(0)
    assert not receiving.done()
    await source.close()
    await source.close()
    assert await asyncio.wait_for(receiving, 5) == []


async def _all(source: WebhookSource) -> list[Any]:
    return [inbound async for inbound in source.receive()]
