"""From a URL to an activated session: endpoint, trust, channel, login; or on with the session held before."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime
from typing import Any, Final

from asyncua import Client, ua
from asyncua.crypto import security_policies
from asyncua.crypto.uacrypto import CertProperties
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from adapters.opcua.channel import OwnClient
from adapters.opcua.config import OpcuaConfig, Security
from adapters.opcua.faults import Ended
from adapters.opcua.session import Held, OwnPublishing, Session, dispose
from adapters.opcua.trust import OwnCertificate, TrustList, first_certificate
from canonical.errors import Stage, Unauthorized
from canonical.spec import AdapterContext

__all__ = ["Connector"]

POLICIES: Final[dict[str, Any]] = {
    "Basic256Sha256": security_policies.SecurityPolicyBasic256Sha256,
    "Aes128Sha256RsaOaep": security_policies.SecurityPolicyAes128Sha256RsaOaep,
    "Aes256Sha256RsaPss": security_policies.SecurityPolicyAes256Sha256RsaPss,
}
SESSION_MIN_S: Final = 60.0
CHANNEL_S = 3600.0
"""Lifetime of a channel's token that we ask for; it is renewed in time."""


class Connector:
    """Makes sessions with one server; each ``open`` starts from nothing."""

    def __init__(
        self, settings: OpcuaConfig, context: AdapterContext, own: OwnCertificate | None, application_uri: str
    ) -> None:
        self._settings, self._own, self._application_uri = settings, own, application_uri
        self._trust = TrustList(context.data_dir)
        self._clock, self._name = context.clock, context.name
        self.server_valid_until: datetime | None = None

    async def open(self, held: Held | None) -> Session:
        """An activated session; the one that is ``held`` where the server still has it.

        Raises Untrusted, Unauthorized, or what ``faults.explain`` understands, after `connect_timeout`
        at the latest; nothing stays open then.
        """
        async with asyncio.timeout(self._settings.connect_timeout):
            client = await self._secured()
            try:
                await client.connect_socket()
                await client.send_hello()
                await self._channel(client)
                return await self._activated(client, held)
            except BaseException:
                dispose(client)
                raise

    def _client(self) -> Client:
        settings = self._settings
        client = Client(settings.url, timeout=settings.request_timeout)
        own = OwnClient(settings.request_timeout)
        own.pre_request_hook = client.uaclient.pre_request_hook
        client.uaclient = own
        client.application_uri = self._application_uri
        client.name = client.description = f"crossplant {self._name}"
        lifetime_s = settings.publishing_interval * settings.lifetime_count
        client.secure_channel_timeout = int(CHANNEL_S * 1000)
        client.session_timeout = int(max(SESSION_MIN_S, lifetime_s) * 1000)
        return client

    async def _secured(self) -> Client:
        """A client that will speak as `security` says, with a server that is trusted."""
        client = self._client()
        security = self._settings.security
        if security == "none":
            if self._settings.username:  # the password is encrypted for this certificate
                client.certificate_validator = self._check
            return client
        assert self._own is not None
        certificate = await self._server_certificate(security)
        await self._trusted(certificate)
        await client.set_security(
            POLICIES[security.policy],
            certificate=self._own.certificate_path,
            private_key=self._own.key_path,
            server_certificate=CertProperties(certificate, "der"),
            mode=ua.MessageSecurityMode[security.mode],
        )
        return client

    async def _channel(self, client: Client) -> None:
        try:
            await client.open_secure_channel()
        except OSError as error:
            if self._own is None:
                raise
            # Many servers just hang up when they do not know a certificate.
            raise Ended(
                f"{self._settings.url} hung up when the secure channel was opened; if that stays so, it does "
                f"not trust our certificate: add {self._own.certificate_path} to its trust list",
                code="channel_refused",
            ) from error

    async def _server_certificate(self, security: Security) -> bytes:
        """What the server shows for the endpoint that we want; asked over a channel of its own."""
        client = self._client()
        try:
            endpoints = await client.connect_and_get_server_endpoints()
        finally:
            dispose(client)
        wanted = POLICIES[security.policy].URI
        for endpoint in endpoints:
            if endpoint.SecurityPolicyUri == wanted and endpoint.SecurityMode.name == security.mode:
                return first_certificate(endpoint.ServerCertificate or b"")
        offered = {
            f"{(endpoint.SecurityPolicyUri or '').rpartition('#')[2]} {endpoint.SecurityMode.name}"
            for endpoint in endpoints
        }
        raise Unauthorized(
            f"{self._settings.url} does not offer {security.policy} {security.mode}; "
            f"it offers {', '.join(sorted(offered)) or 'nothing'}",
            code="security_not_offered",
            stage=Stage.RECEIVING,
        )

    async def _check(self, certificate: x509.Certificate, _: ua.ApplicationDescription) -> None:
        await self._trusted(certificate.public_bytes(Encoding.DER))

    async def _trusted(self, der: bytes) -> None:
        now = self._clock()
        self.server_valid_until = await asyncio.to_thread(self._trust.check, der, self._settings.url, now)

    async def _activated(self, client: Client, held: Held | None) -> Session:
        service = OwnPublishing(client.uaclient)
        client.uaclient.session = service
        timeout_s = self._settings.request_timeout
        if held is not None and await self._reactivated(client, service, held):
            return Session(client, service, held.session_id, timeout_s=timeout_s, resumed=True)
        created = await client.create_session()
        self._refuse_clear_password(client)
        try:
            await self._activate(client)
        except ua.UaError:
            with suppress(OSError, TimeoutError, ua.UaError):
                await client.uaclient.close_session(True)  # or it would stay until it times out
            raise
        return Session(client, service, created.SessionId.to_string(), timeout_s=timeout_s, resumed=False)

    async def _reactivated(self, client: Client, service: OwnPublishing, held: Held) -> bool:
        """Whether the server lets us go on with the session over this new channel."""
        service.restore_authentication_token(held.token)
        _remember(client, held.nonce, held.policies)
        try:
            await self._activate(client)
        except (OSError, TimeoutError) as error:
            why = f"{self._settings.url} broke off when the session was to be taken up again"
            raise Ended(why, resumable=False) from error
        except ua.UaStatusCodeError:
            service.reset_authentication_token()
            _remember(client, None, ())
            return False
        return True

    async def _activate(self, client: Client) -> None:
        password = self._settings.password
        await client.activate_session(
            username=self._settings.username, password=password.get_secret_value() if password else None
        )

    def _refuse_clear_password(self, client: Client) -> None:
        """Raises Unauthorized where the password would cross the network as it is, unless asked to."""
        settings = self._settings
        if not settings.username or settings.password_in_clear:
            return
        if client.security_policy.Mode == ua.MessageSecurityMode.SignAndEncrypt:
            return
        policy = client.server_policy(ua.UserTokenType.UserName)
        if policy.SecurityPolicyUri in (None, "", security_policies.SecurityPolicyNone.URI):
            raise Unauthorized(
                f"{settings.url} would get the password in clear text; use mode SignAndEncrypt, or say "
                "password_in_clear: true",
                code="password_in_clear",
                stage=Stage.RECEIVING,
            )


def _remember(client: Client, nonce: bytes | None, policies: Sequence[ua.UserTokenPolicy]) -> None:
    """Sets what ``create_session`` learns; the library has no other way to go on with a session."""
    state: Any = client
    state._server_nonce, state._policy_ids = nonce, list(policies)
