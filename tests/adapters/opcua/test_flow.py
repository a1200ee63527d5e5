"""The publish loop: order, repeats, what is missing, silence. The server is a script of responses."""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from asyncua import ua as library
from asyncua.ua.ua_binary import struct_to_binary

from adapters.conformance.hub import Hub
from adapters.opcua.backoff import Backoff
from adapters.opcua.batches import Batches
from adapters.opcua.buffer import Arrival, Buffer
from adapters.opcua.channel import Acknowledgement
from adapters.opcua.faults import Ended, explain
from adapters.opcua.flow import LAST_SEQUENCE, Flow, following
from adapters.opcua.items import MonitoredItems
from adapters.opcua.notification import Publication
from adapters.opcua.session import Surroundings
from adapters.opcua.subscribe import limit_s
from canonical.errors import Unauthorized
from canonical.event import utc_now
from canonical.ports import RawMessage
from tests.adapters.opcua.running import options

ua: Any = library  # its types are stricter than what it takes
ID = 5


def message(sequence: int, *, keep_alive: bool = False, ended: int | None = None) -> Any:
    parts: list[Any] = [] if keep_alive else [ua.DataChangeNotification(MonitoredItems=[])]
    if ended is not None:
        parts = [ua.StatusChangeNotification(Status=ua.StatusCode(ua.UInt32(ended)))]
    return ua.NotificationMessage(SequenceNumber=ua.Counter(sequence), NotificationData=parts)


def response(sequence: int, **what: Any) -> bytes:
    result = ua.PublishResult(ua.IntegerId(ID), [], False, message(sequence, **what))
    return bytes(struct_to_binary(result))


class Script:
    """Answers publish requests with what it was given, then with silence; keeps some messages for repeats."""

    def __init__(self, responses: Sequence[bytes | Exception], kept: Sequence[int] = ()) -> None:
        self.responses, self.kept = list(responses), set(kept)
        self.asked: list[list[Acknowledgement]] = []

    def publish(self, acknowledgements: list[Acknowledgement]) -> asyncio.Future[bytes]:
        self.asked.append(list(acknowledgements))
        answer: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        if self.responses:
            match self.responses.pop(0):
                case Exception() as error:
                    answer.set_exception(error)
                case bytes() as body:
                    answer.set_result(body)
        return answer

    async def republish(self, subscription_id: int, sequence: int) -> bytes | None:
        assert subscription_id == ID
        return bytes(struct_to_binary(message(sequence))) if sequence in self.kept else None


class Seen:
    """What a flow delivered, and how it ended."""

    def __init__(self, script: Script, *, last: int = 0, requests: int = 1) -> None:
        self.delivered: list[int] = []
        self.missed: list[tuple[int, int]] = []
        self.flow = Flow(
            script,
            ID,
            limit_s=0.05,
            requests=requests,
            last=last,
            deliver=self._deliver,
            missed=self._miss,
        )

    async def _deliver(self, publication: Publication) -> None:
        if not publication.keep_alive:
            self.delivered.append(publication.sequence)
            self.flow.acknowledge(publication.sequence)

    async def _miss(self, count: int, last: int) -> None:
        self.missed.append((count, last))

    async def ends(self) -> Ended:
        (raised,) = await asyncio.gather(self.flow.run(), return_exceptions=True)
        assert isinstance(raised, Exception)
        error = explain(raised, "opc.tcp://x")
        assert isinstance(error, Ended)
        return error


async def test_silence_ends_a_flow() -> None:
    seen = Seen(Script([response(1), response(2, keep_alive=True)]))
    assert (await seen.ends()).code == "silent"
    assert seen.delivered == [1]


async def test_what_was_acknowledged_is_told_with_the_next_request() -> None:
    script = Script([response(1), response(2)])
    await Seen(script).ends()
    assert script.asked == [[], [(ID, 1)], [(ID, 2)]]


async def test_several_requests_are_under_way() -> None:
    script = Script([response(1), response(2), response(3)])
    seen = Seen(script, requests=3)
    await seen.ends()
    assert seen.delivered == [1, 2, 3]
    assert len(script.asked) == 6


@pytest.mark.parametrize("last", [0, 41, LAST_SEQUENCE - 2])
async def test_missing_messages_are_asked_for_in_order(last: int) -> None:
    numbers = [following(last)]
    for _ in range(3):
        numbers.append(following(numbers[-1]))
    seen = Seen(Script([response(numbers[0]), response(numbers[3])], kept=numbers[1:3]), last=last)
    await seen.ends()
    assert (seen.delivered, seen.missed) == (numbers, [])


async def test_a_keep_alive_shows_that_messages_are_missing() -> None:
    seen = Seen(Script([response(1), response(4, keep_alive=True)], kept=[2, 3]))
    await seen.ends()
    assert (seen.delivered, seen.missed) == ([1, 2, 3], [])


async def test_what_the_server_no_longer_has_is_counted() -> None:
    seen = Seen(Script([response(1), response(7)], kept=[4]))
    await seen.ends()
    assert seen.delivered == [1, 4, 7]
    assert seen.missed == [(2, 3), (2, 6)]


async def test_a_repeat_is_delivered_once_and_acknowledged_again() -> None:
    script = Script([response(1), response(1), response(2)])
    seen = Seen(script)
    await seen.ends()
    assert seen.delivered == [1, 2]
    assert script.asked[2] == [(ID, 1)]


async def test_a_subscription_that_the_server_ends_is_not_resumed() -> None:
    error = await Seen(Script([response(1, ended=ua.StatusCodes.BadTimeout)])).ends()
    assert (error.code, error.resumable) == ("ended", False)


async def test_a_take_over_is_named() -> None:
    error = await Seen(Script([response(1, ended=ua.StatusCodes.GoodSubscriptionTransferred)])).ends()
    assert error.code == "taken_over"
    assert "another client" in error.message


async def test_too_many_requests_are_made_fewer() -> None:
    script = Script([ua.uaerrors.BadTooManyPublishRequests(), response(1)])
    seen = Seen(script, requests=2)
    assert (await seen.ends()).code == "silent"
    assert seen.delivered == [1]


async def test_an_unreadable_response_ends_a_flow() -> None:
    assert (await Seen(Script([b"\x01"])).ends()).code == "unreadable"


async def test_a_gone_subscription_is_not_resumed() -> None:
    error = await Seen(Script([ua.uaerrors.BadNoSubscription()])).ends()
    assert (error.code, error.resumable) == ("BadNoSubscription", False)


def test_errors_say_what_to_do() -> None:
    login = explain(ua.uaerrors.BadUserAccessDenied(), "opc.tcp://x")
    assert isinstance(login, Unauthorized)
    assert "check username and password" in login.message
    assert "certificate" in explain(ua.uaerrors.BadSecurityChecksFailed(), "opc.tcp://x").message
    assert explain(TimeoutError(), "opc.tcp://x").code == "timeout"
    unexpected = explain(ZeroDivisionError("why"), "opc.tcp://x")
    assert (unexpected.code, unexpected.message) == (
        "unexpected",
        "opc.tcp://x: unexpected ZeroDivisionError: why",
    )


def test_silence_is_judged_by_the_servers_rhythm() -> None:
    assert limit_s(options("opc.tcp://x", "a"), 5.0) == 7.5
    assert limit_s(options("opc.tcp://x", "a"), 0.5) == 1.5
    assert limit_s(options("opc.tcp://x", "a", stale_after="30s"), 5.0) == 30.0
    assert limit_s(options("opc.tcp://x", "a", stale_after="3s"), 5.0) == 7.5


class Picky:
    """Creates monitored items like a controller that knows no filters, and does not know one node."""

    async def monitor(self, subscription_id: int, items: Sequence[Any]) -> list[Any]:
        return [ua.MonitoredItemCreateResult(StatusCode=self._status(item)) for item in items]

    def _status(self, item: Any) -> Any:
        if item.ItemToMonitor.NodeId.Identifier == "unknown":
            return ua.StatusCode(ua.UInt32(ua.StatusCodes.BadNodeIdUnknown))
        if isinstance(item.RequestedParameters.Filter, ua.DataChangeFilter):
            return ua.StatusCode(ua.UInt32(ua.StatusCodes.BadMonitoredItemFilterUnsupported))
        return ua.StatusCode(ua.UInt32(0))


async def test_a_server_without_filters_gets_none(tmp_path: Path) -> None:
    tags: list[dict[str, Any]] = [
        {"node": "i=1", "tag": "plain"},
        {"node": "i=2", "tag": "absolute", "deadband": 0.5},
        {"node": "i=3", "tag": "percent", "deadband": "2%"},
        {"node": "s=unknown", "tag": "unknown"},
    ]
    around: Any = Surroundings(
        namespaces=["x"], started_at="", read=Batches(None), monitor=Batches(None), translate=Batches(None)
    )
    session: Any = Picky()
    log = Hub(tmp_path).context.log
    items = MonitoredItems(options("opc.tcp://x", *tags), session, around, 1, log)
    await items.create_all()
    assert items.refused == {3: ua.StatusCodes.BadNodeIdUnknown}


def test_backoff_doubles_up_to_its_limit_and_starts_anew() -> None:
    backoff = Backoff(1.0, 5.0, chance=lambda: 1.0)
    assert [backoff.next() for _ in range(4)] == [1.0, 2.0, 4.0, 5.0]
    backoff.reset()
    assert backoff.next() == 1.0
    assert Backoff(1.0, 8.0, chance=lambda: 0.0).longest() == 4.0


async def test_batches_are_halved_until_the_server_takes_them() -> None:
    sizes: list[int] = []

    async def call(part: list[int]) -> list[int]:
        sizes.append(len(part))
        if len(part) > 3:
            raise ua.uaerrors.BadTooManyOperations
        return [number * 2 for number in part]

    batches = Batches(None)
    assert await batches.run(range(10), call) == [number * 2 for number in range(10)]
    assert sizes == [10, 5, 2, 2, 2, 2, 2]
    assert await Batches(4).run([], call) == []


async def test_too_few_results_are_a_protocol_error() -> None:
    async def call(part: list[int]) -> list[int]:
        return part[1:]

    with pytest.raises(Ended, match="2 operations got 1 results"):
        await Batches(None).run([1, 2], call)


def arrival(number: int) -> Arrival:
    return Arrival(raw=RawMessage(adapter="a", id=str(number), body=b"", received_at=utc_now()))


async def test_a_full_buffer_waits_until_somebody_takes() -> None:
    buffer = Buffer(2)
    for number in range(2):
        await buffer.put(arrival(number))
    third = asyncio.create_task(buffer.put(arrival(2)))
    await asyncio.sleep(0)
    assert not third.done()
    assert [one.raw.id for one in await buffer.take()] == ["0", "1"]
    await third
    assert [one.raw.id for one in await buffer.take()] == ["2"]


async def test_a_closed_buffer_gives_nothing_more_and_a_failed_one_raises() -> None:
    buffer, failed = Buffer(1), Buffer(1)
    await buffer.put(arrival(0))
    waiting = asyncio.create_task(buffer.put(arrival(1)))
    await asyncio.sleep(0)
    await buffer.close()
    await waiting
    assert await buffer.take() == []
    await failed.close(ValueError("why"))
    with pytest.raises(ValueError, match="why"):
        await failed.take()
