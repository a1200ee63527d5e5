"""The monitored items of a subscription, created in batches; those refused do not hurt the rest."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Final

from asyncua import ua

from adapters.opcua.backoff import Backoff
from adapters.opcua.config import OpcuaConfig, Tag
from adapters.opcua.faults import status_name
from adapters.opcua.nodes import NodeAddress, parse_node
from adapters.opcua.session import Session, Surroundings
from canonical.spec import Log

__all__ = ["MonitoredItems", "node_id"]

UNKNOWN: Final = ua.StatusCodes.BadNodeIdUnknown
NO_FILTER: Final = frozenset(
    {
        ua.StatusCodes.BadDeadbandFilterInvalid,
        ua.StatusCodes.BadFilterNotAllowed,
        ua.StatusCodes.BadMonitoredItemFilterUnsupported,
    }
)
RETRY_LONGEST_S: Final = 300.0
_KINDS: Final = {
    "i": ua.NodeIdType.Numeric,
    "s": ua.NodeIdType.String,
    "g": ua.NodeIdType.Guid,
    "b": ua.NodeIdType.ByteString,
}


def node_id(address: NodeAddress, index: int) -> ua.NodeId:
    """The node in the library's terms, in the namespace with this index."""
    return ua.NodeId(address.identifier, ua.Int16(index), _KINDS[address.kind])  # type: ignore[arg-type]


class MonitoredItems:
    """Handles are places in the configured tags. ``refused``: handle → the StatusCode that it got."""

    def __init__(
        self,
        settings: OpcuaConfig,
        session: Session,
        around: Surroundings,
        subscription_id: int,
        log: Log,
        refused: Iterable[int] = (),
    ) -> None:
        self._settings, self._session, self._around, self._log = settings, session, around, log
        self._subscription_id = subscription_id
        self._addresses = [parse_node(tag.node) for tag in settings.tags]
        self._unfiltered: set[int] = set()
        self.refused: dict[int, int] = dict.fromkeys(refused, UNKNOWN)

    async def create_all(self) -> None:
        """Asks for every tag; returns when each is watched or in ``refused``."""
        await self._create(range(len(self._settings.tags)))

    async def retry(self) -> list[int]:
        """Asks again for those refused, with the namespaces as they are now; returns who made it."""
        before = dict(self.refused)
        if not before:
            return []
        self._around = await self._session.surroundings()
        await self._create(list(before))
        return [handle for handle in before if handle not in self.refused]

    async def keep_trying(self, tell: Callable[[Mapping[int, int]], Awaitable[None]]) -> None:
        """Retries for ever, less and less often while nothing changes; ``tell`` gets what is refused then."""
        backoff = Backoff(self._settings.retry_tags, max(self._settings.retry_tags, RETRY_LONGEST_S))
        while True:
            await asyncio.sleep(backoff.next())
            back = await self.retry()
            if back:
                self._log.info("opcua_tags_back", tags=[self._settings.tags[handle].tag for handle in back])
                backoff.reset()
            await tell(self.refused)

    async def _create(self, handles: Sequence[int]) -> None:
        wishes: list[tuple[int, ua.MonitoredItemCreateRequest]] = []
        for handle in handles:
            index = self._addresses[handle].namespace(self._around.namespaces)
            if index is None:
                self._refuse(handle, UNKNOWN, "the server has no such namespace")
            else:
                wishes.append((handle, self._wish(handle, index)))
        results = await self._around.monitor.run([wish for _, wish in wishes], self._ask)
        again = [
            handle
            for (handle, _), result in zip(wishes, results, strict=True)
            if self._settled(handle, result)
        ]
        if again:
            await self._create(again)

    async def _ask(self, part: list[ua.MonitoredItemCreateRequest]) -> Sequence[ua.MonitoredItemCreateResult]:
        return await self._session.monitor(self._subscription_id, part)

    def _settled(self, handle: int, result: ua.MonitoredItemCreateResult) -> bool:
        """Takes note of a result; True when it is to be tried again at once, without its deadband."""
        if result.StatusCode.is_good():
            self.refused.pop(handle, None)
            return False
        code = result.StatusCode.value
        if code in NO_FILTER and handle not in self._unfiltered and self._settings.tags[handle].deadband:
            self._unfiltered.add(handle)
            self._log.warning(
                "opcua_deadband_refused", tag=self._settings.tags[handle].tag, status=status_name(code)
            )
            return True
        self._refuse(handle, code, status_name(code))
        return False

    def _refuse(self, handle: int, code: int, why: str) -> None:
        if self.refused.get(handle) != code:
            tag = self._settings.tags[handle]
            self._log.error("opcua_tag_refused", tag=tag.tag, node=tag.node, reason=why)
        self.refused[handle] = code

    def _wish(self, handle: int, index: int) -> ua.MonitoredItemCreateRequest:
        settings, tag = self._settings, self._settings.tags[handle]
        sampling_s = tag.sampling_interval
        if sampling_s is None:
            sampling_s = settings.sampling_interval
        if sampling_s is None:
            sampling_s = settings.publishing_interval
        parameters = ua.MonitoringParameters(
            ClientHandle=ua.IntegerId(handle),
            SamplingInterval=ua.Duration(sampling_s * 1000),
            QueueSize=ua.Counter(settings.queue_size),
            DiscardOldest=settings.discard_oldest,
        )
        if tag.deadband and handle not in self._unfiltered:
            parameters.Filter = _filter(tag)
        return ua.MonitoredItemCreateRequest(
            ItemToMonitor=ua.ReadValueId(
                NodeId=node_id(self._addresses[handle], index), AttributeId=ua.AttributeIds.Value
            ),
            MonitoringMode=ua.MonitoringMode.Reporting,
            RequestedParameters=parameters,
        )


def _filter(tag: Tag) -> ua.DataChangeFilter:
    """Only when there is a deadband: some controllers refuse every filter."""
    percent = isinstance(tag.deadband, str)
    value = float(str(tag.deadband).rstrip("% "))
    return ua.DataChangeFilter(
        Trigger=ua.DataChangeTrigger.StatusValue,
        DeadbandType=ua.UInt32(ua.DeadbandType.Percent if percent else ua.DeadbandType.Absolute),
        DeadbandValue=ua.Double(value),
    )
