"""One connection to a server: socket, secure channel, session. It is never healed, only disposed of.

Everything that the adapter asks of the library goes through here, and every wait has a deadline.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, Final

from asyncua import Client, ua
from asyncua.client.ua_session import UaSession
from msgspec import Struct

from adapters.opcua.batches import Batches
from adapters.opcua.channel import Acknowledgement, OwnClient, dismiss, read_answer
from adapters.opcua.faults import Ended

__all__ = ["Held", "Revised", "Session", "Surroundings"]

NAMESPACES: Final = ua.ObjectIds.Server_NamespaceArray
STARTED: Final = ua.ObjectIds.Server_ServerStatus_StartTime
LIMITS: Final = (
    ua.ObjectIds.Server_ServerCapabilities_OperationLimits_MaxNodesPerRead,
    ua.ObjectIds.Server_ServerCapabilities_OperationLimits_MaxMonitoredItemsPerCall,
    ua.ObjectIds.Server_ServerCapabilities_OperationLimits_MaxNodesPerTranslateBrowsePathsToNodeIds,
)
NOT_KEPT: Final = frozenset(
    {
        ua.StatusCodes.BadMessageNotAvailable,
        ua.StatusCodes.BadNotImplemented,
        ua.StatusCodes.BadNotSupported,
        ua.StatusCodes.BadServiceUnsupported,
    }
)
RENEW_AFTER: Final = 0.75  # of the token's lifetime (OPC 10000-4, 5.6.2)
GOODBYE_S: Final = 2.0


class Held(Struct, frozen=True, kw_only=True):
    """What it takes to go on with a session over a new connection (OPC 10000-4, 6.7). In memory only."""

    token: ua.NodeId
    nonce: bytes | None
    policies: Sequence[ua.UserTokenPolicy]
    session_id: str


class Surroundings(Struct, frozen=True, kw_only=True):
    """What a server says of itself; ``started_at`` is empty where it does not say."""

    namespaces: list[str]
    started_at: str
    read: Batches
    monitor: Batches
    translate: Batches


class Revised(Struct, frozen=True, kw_only=True):
    """A subscription as the server grants it."""

    id: int
    publishing_interval_s: float
    keep_alive_count: int
    lifetime_count: int


class OwnPublishing(UaSession):
    """The library's session without its publish loop: responses come as bytes, requests when we want them."""

    def ensure_publish_loop(self) -> None:
        """Does nothing: ``Session.publish`` sends the requests."""

    async def ask(self, request: Any, timeout_s: float) -> bytes:
        """The response's bytes after its header. Raises the service's bad result."""
        return read_answer(await self._send_request(request, timeout_s))


class Session:
    """An activated session. Raises the library's errors, which ``faults.explain`` puts into ours."""

    def __init__(
        self, client: Client, service: OwnPublishing, session_id: str, *, timeout_s: float, resumed: bool
    ) -> None:
        assert isinstance(client.uaclient, OwnClient)
        self._client, self._service, self._timeout_s = client, service, timeout_s
        self._socket = client.uaclient
        self.session_id = session_id
        self.resumed = resumed

    @property
    def held(self) -> Held:
        """What the next connection needs to go on with this session."""
        # The library keeps these to itself; a new Client must have them to reactivate a session.
        return Held(
            token=self._service.authentication_token,
            nonce=self._client._server_nonce,
            policies=self._client._policy_ids,
            session_id=self.session_id,
        )

    async def surroundings(self) -> Surroundings:
        """Namespaces, start time and operation limits."""
        numbers = (NAMESPACES, STARTED, *LIMITS)
        nodes = [ua.NodeId(ua.Int32(number)) for number in numbers]
        values = await Batches(None).run(nodes, self.read)
        namespaces, started, *limits = (_value(value) for value in values)
        if not isinstance(namespaces, list):
            raise Ended("the server does not give its NamespaceArray", code="protocol")
        read, monitor, translate = (Batches(limit if isinstance(limit, int) else None) for limit in limits)
        return Surroundings(
            namespaces=[str(uri) for uri in namespaces],
            started_at=str(started or ""),
            read=read,
            monitor=monitor,
            translate=translate,
        )

    async def read(self, nodes: Sequence[ua.NodeId]) -> Sequence[ua.DataValue]:
        """The values of nodes, in one call."""
        return await self._service.read_attributes(list(nodes), ua.AttributeIds.Value)

    async def translate(self, paths: Sequence[ua.BrowsePath]) -> Sequence[ua.BrowsePathResult]:
        """Where browse paths lead, in one call."""
        return await self._service.translate_browsepaths_to_nodeids(list(paths))

    async def create_subscription(
        self, *, interval_s: float, keep_alive_count: int, lifetime_count: int, max_notifications: int
    ) -> Revised:
        """A new subscription, with what the server made of the wishes."""
        wishes = ua.CreateSubscriptionParameters(
            RequestedPublishingInterval=ua.Duration(interval_s * 1000),
            RequestedLifetimeCount=ua.Counter(lifetime_count),
            RequestedMaxKeepAliveCount=ua.Counter(keep_alive_count),
            MaxNotificationsPerPublish=ua.Counter(max_notifications),
            PublishingEnabled=True,
        )
        granted = await self._service.create_subscription(wishes, _nowhere)
        return Revised(
            id=granted.SubscriptionId,
            publishing_interval_s=granted.RevisedPublishingInterval / 1000,
            keep_alive_count=granted.RevisedMaxKeepAliveCount,
            lifetime_count=granted.RevisedLifetimeCount,
        )

    async def take_over(self, subscription_id: int) -> Sequence[int] | None:
        """Makes the subscription of an earlier session ours: the numbers of the messages that it has kept
        because nobody acknowledged them. None when the server does not do that."""
        wish = ua.TransferSubscriptionsParameters(SubscriptionIds=[subscription_id], SendInitialValues=False)
        try:
            results = await self._service.transfer_subscriptions(wish)
        except ua.UaStatusCodeError:
            return None
        if len(results) != 1 or not results[0].StatusCode.is_good():
            return None
        return list(results[0].AvailableSequenceNumbers or ())

    async def forget(self, subscription_id: int) -> None:
        """Deletes a subscription of an earlier session, as far as the server lets us."""
        if self.resumed or await self.take_over(subscription_id) is not None:
            with suppress(ua.UaStatusCodeError):
                await self._service.delete_subscriptions([subscription_id])

    async def monitor(
        self, subscription_id: int, items: Sequence[ua.MonitoredItemCreateRequest]
    ) -> Sequence[ua.MonitoredItemCreateResult]:
        """What became of monitored items, in one call."""
        wish = ua.CreateMonitoredItemsParameters(
            SubscriptionId=ua.IntegerId(subscription_id),
            TimestampsToReturn=ua.TimestampsToReturn.Both,
            ItemsToCreate=list(items),
        )
        return await self._service.create_monitored_items(wish)

    def publish(self, acknowledgements: Sequence[Acknowledgement]) -> asyncio.Future[bytes]:
        """The next PublishResponse, after its header; the caller watches the time."""
        return self._socket.ask_to_publish(acknowledgements)

    async def republish(self, subscription_id: int, sequence: int) -> bytes | None:
        """A RepublishResponse, after its header; None when the server no longer has that message."""
        request = ua.RepublishRequest()
        request.Parameters.SubscriptionId = ua.IntegerId(subscription_id)
        request.Parameters.RetransmitSequenceNumber = ua.Counter(sequence)
        try:
            return await self._service.ask(request, self._timeout_s)
        except ua.UaStatusCodeError as error:
            if error.code in NOT_KEPT:
                return None
            raise

    async def keep_channel(self) -> None:
        """Renews the channel's token in time, for ever."""
        while True:
            await asyncio.sleep(self._client.secure_channel_timeout * RENEW_AFTER / 1000)
            await self._client.open_secure_channel(renew=True)
            self._client.uaclient.revolve_security_token()

    async def close(
        self, *, delete_subscriptions: bool, acknowledgements: Sequence[Acknowledgement] = ()
    ) -> None:
        """Says goodbye, within two seconds, with the last acknowledgements, and disposes of everything."""
        last: asyncio.Future[bytes] | None = None
        try:
            async with asyncio.timeout(GOODBYE_S):
                if acknowledgements:
                    last = self.publish(acknowledgements)  # it gets no answer any more
                await self._client.uaclient.close_session(delete_subscriptions)
                await self._client.close_secure_channel()
        except (OSError, TimeoutError, ua.UaError):
            pass  # it is gone already, and knows no session any more or will forget it
        finally:
            self.abort()
            if last is not None:
                dismiss(last)

    def abort(self) -> None:
        """Disposes of everything at once; what waits in the socket is thrown away."""
        dispose(self._client)


def dispose(client: Client) -> None:
    """Ends a client's socket without waiting for a peer that may never answer."""
    protocol = client.uaclient.protocol
    if protocol is not None and protocol.transport is not None:
        protocol.transport.abort()
    client.disconnect_socket()


def _value(value: ua.DataValue) -> Any:
    is_good = value.StatusCode is None or value.StatusCode.is_good()
    return value.Value.Value if value.Value is not None and is_good else None


def _nowhere(_: object) -> None:
    """The callback that the library wants for each subscription; its publish loop never runs."""
