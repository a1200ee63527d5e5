"""Who sent a webhook: bearer tokens, HMAC signatures, Standard Webhooks. All comparisons take constant time.

Source: Standard Webhooks 1.0.0 ("Signature scheme", "Verifying webhook authenticity"), RFC 6750.
"""

from __future__ import annotations

import base64
import binascii
import hmac
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import assert_never

from pydantic import SecretStr

from adapters.rest.config import (
    BearerVerification,
    HmacVerification,
    StandardWebhooksVerification,
    Verification,
)
from canonical.errors import ConfigError, Stage, Unauthorized

__all__ = ["Verifier"]

_MOST_SIGNATURES = 16
_PREFIX = "whsec_"


class Verifier:
    """Checks one webhook's senders. Says no more to a stranger than what kind of proof is missing."""

    def __init__(self, settings: Verification) -> None:
        """Raises ConfigError for a Standard Webhooks secret that is not base64."""
        self._settings = settings
        secrets = [settings.secret, *([settings.previous] if settings.previous else [])]
        self._keys = [_key(secret, settings) for secret in secrets]

    def check(self, headers: Mapping[str, str], body: bytes, now: datetime) -> None:
        """Returns when the sender proved itself; ``headers`` by lower-case name. Raises Unauthorized."""
        match self._settings:
            case BearerVerification():
                self._bearer(headers)
            case HmacVerification():
                self._hmac(self._settings, headers, body)
            case StandardWebhooksVerification():
                self._standard(self._settings, headers, body, now)
            case _:
                assert_never(self._settings)

    def _bearer(self, headers: Mapping[str, str]) -> None:
        scheme, _, token = headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not token.strip():
            raise _refusal("no bearer token in the header Authorization")
        if not _any_equal(self._keys, [token.strip().encode("utf-8", "replace")]):
            raise _refusal("the bearer token is not the one agreed on")

    def _hmac(self, settings: HmacVerification, headers: Mapping[str, str], body: bytes) -> None:
        given = headers.get(settings.header.lower(), "").strip()
        if not given.startswith(settings.prefix) or given == settings.prefix:
            raise _refusal(f"no signature in the header {settings.header}")
        signature = _decoded(given.removeprefix(settings.prefix), settings.encoding)
        expected = [hmac.digest(key, body, settings.algorithm) for key in self._keys]
        if signature is None or not _any_equal(expected, [signature]):
            raise _refusal(f"the signature in {settings.header} does not fit the body")

    def _standard(
        self, settings: StandardWebhooksVerification, headers: Mapping[str, str], body: bytes, now: datetime
    ) -> None:
        id, stamp, given = (headers.get(f"webhook-{name}", "") for name in ("id", "timestamp", "signature"))
        if not (id and stamp and given):
            raise _refusal("webhook-id, webhook-timestamp or webhook-signature is missing")
        if not (stamp.isascii() and stamp.isdigit() and len(stamp) <= 12):
            raise _refusal("webhook-timestamp is not in whole seconds since 1970")
        if abs(now.timestamp() - int(stamp)) > settings.tolerance:
            raise _refusal("webhook-timestamp is too far from our clock")
        signed = f"{id}.{stamp}.".encode("utf-8", "replace") + body
        expected = [hmac.digest(key, signed, "sha256") for key in self._keys]
        if not _any_equal(expected, _version_1(given)):
            raise _refusal("no signature in webhook-signature fits the message")


def _key(secret: SecretStr, settings: Verification) -> bytes:
    text = secret.get_secret_value()
    if not isinstance(settings, StandardWebhooksVerification):
        return text.encode()
    key = _decoded(text.removeprefix(_PREFIX), "base64")
    if not key:
        raise ConfigError(
            "the secret of a Standard Webhook is whsec_ and base64", key="webhook.verify.secret"
        )
    return key


def _version_1(header: str) -> list[bytes]:
    """The decoded v1 signatures of a header with several, of which others are passed over."""
    given = (entry.partition(",") for entry in header.split(" ")[:_MOST_SIGNATURES])
    decoded = (_decoded(text, "base64") for version, _, text in given if version == "v1")
    return [signature for signature in decoded if signature is not None]


def _decoded(text: str, encoding: str) -> bytes | None:
    try:
        return bytes.fromhex(text) if encoding == "hex" else base64.b64decode(text, validate=True)
    except (ValueError, binascii.Error):
        return None


def _any_equal(expected: Iterable[bytes], given: Iterable[bytes]) -> bool:
    """Whether any pair is equal; compares all of them, so that time tells nothing."""
    pairs = [(one, other) for one in expected for other in given]
    return any([hmac.compare_digest(one, other) for one, other in pairs])  # noqa: C419 not lazily


def _refusal(text: str) -> Unauthorized:
    return Unauthorized(text, code="webhook_unauthorized", stage=Stage.RECEIVING)
