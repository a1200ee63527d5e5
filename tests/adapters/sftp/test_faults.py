"""What goes wrong between us and an SFTP server: keys, logins, rights, answers that never come."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Any

import asyncssh
import pytest

from adapters.conformance.proxy import FaultProxy
from adapters.sftp.config import SftpConfig
from adapters.sftp.hostkeys import fingerprint
from adapters.sftp.sink import SftpSink
from adapters.sftp.source import SftpSource
from canonical.errors import ConfigError, TransientError, Unauthorized
from canonical.event import Event
from canonical.ports import Accepted, Delivery, Failed, SinkOutcome, Unknown
from tests.adapters.sftp.peer import Peer, peer
from tests.canonical.exchange.shelf import TellingHub
from tests.waiting import eventually


def delivery(payload: bytes = b"content", name: str = "a.edi", **target: Any) -> Delivery:
    return Delivery(
        event=Event(id="1", source="/test", type="test"),
        payload=payload,
        content_type="",
        key=name,
        idempotency_key=f"i-{name}",
        target={"name": name, **target},
    )


async def deliver(settings: SftpConfig, hub: TellingHub, one: Delivery | None = None) -> SinkOutcome:
    sink = SftpSink(settings, hub.new_context())
    await sink.open()
    try:
        [outcome] = await sink.send([one or delivery()])
    finally:
        await sink.close()
    return outcome


def through(proxy: FaultProxy, settings: SftpConfig) -> SftpConfig:
    return settings.model_copy(update={"url": f"sftp://edi@{proxy.host}:{proxy.port}/"})


async def test_an_unknown_host_key_is_refused_and_named(served: Peer, hub: TellingHub) -> None:
    outcome = await deliver(served.settings(host_key=None), hub)
    assert isinstance(outcome, Failed)
    assert isinstance(outcome.error, Unauthorized)
    assert outcome.error.code == "host_key_unknown"
    seen = fingerprint(served.key.public_data)
    assert f"host_key: {seen}" in outcome.error.message
    assert served.logins == 0
    assert isinstance(await deliver(served.settings(host_key=seen), hub), Accepted)


async def test_a_changed_host_key_is_refused_before_the_login(served: Peer, hub: TellingHub) -> None:
    other = asyncssh.generate_private_key("ssh-ed25519").export_public_key().decode()
    outcome = await deliver(served.settings(host_key=other), hub)
    assert isinstance(outcome, Failed)
    assert outcome.error.code == "host_key_changed"
    assert fingerprint(served.key.public_data) in outcome.error.message
    assert served.logins == 0
    both = served.settings(host_key=[other, served.host_key])
    assert isinstance(await deliver(both, hub), Accepted)


async def test_a_wrong_password_is_tried_once(served: Peer, hub: TellingHub) -> None:
    settings = served.settings(password="wrong", max_backoff="100s")
    async with hub.runs(SftpSource(settings, hub.new_context())):
        await eventually(lambda: hub.log.of("folder_not_reached"))
        [said] = hub.log.of("folder_not_reached")
        assert (said["code"], served.logins) == ("login_refused", 1)
        assert said["retry_in_s"] >= 50
        assert "wrong" not in str(hub.log.records)


async def test_not_found_denied_and_unreachable_are_three_outcomes(
    served: Peer, hub: TellingHub, unused_port: int
) -> None:
    missing = await deliver(served.settings(url=f"sftp://edi@127.0.0.1:{served.port}/no/such"), hub)

    def deny(step: str, path: str) -> None:
        if step == "open":
            raise asyncssh.SFTPPermissionDenied("not yours")

    served.fault = deny
    denied = await deliver(served.settings(), hub)
    away = await deliver(served.settings(url=f"sftp://edi@127.0.0.1:{unused_port}/"), hub)
    codes = []
    for outcome in (missing, denied, away):
        assert isinstance(outcome, Failed)
        codes.append(outcome.error.code)
    assert codes == ["not_found", "permission_denied", "connection_refused"]


@pytest.fixture
def unused_port(free_port: Any) -> int:
    port: int = free_port()
    return port


async def test_a_server_without_modern_algorithms_is_named_as_such(tmp_path: Path, hub: TellingHub) -> None:
    async with peer(tmp_path, kex=["diffie-hellman-group14-sha1"]) as old:
        outcome = await deliver(old.settings(), hub)
    assert isinstance(outcome, Failed)
    assert outcome.error.code == "no_common_algorithm"
    assert "Supported: " in outcome.error.message


async def test_something_that_is_no_ssh_server_is_an_outage(hub: TellingHub, served: Peer) -> None:
    async def babble(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 an FTP server\r\n" * 200)
        await reader.read()
        writer.close()

    server = await asyncio.start_server(babble, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    outcome = await deliver(served.settings(url=f"sftp://edi@127.0.0.1:{port}/"), hub)
    server.close()
    assert isinstance(outcome, Failed)
    assert isinstance(outcome.error, TransientError)
    assert outcome.error.outage


async def test_a_name_that_cannot_be_resolved_is_an_outage(served: Peer, hub: TellingHub) -> None:
    outcome = await deliver(served.settings(url="sftp://edi@host.invalid/"), hub)
    assert isinstance(outcome, Failed)
    assert outcome.error.code == "unknown_host"


async def test_a_rename_whose_answer_is_lost_is_looked_up(served: Peer, hub: TellingHub) -> None:
    def cut(step: str, path: str) -> None:
        if step == "rename":
            served.cut()

    served.after = cut
    sink = SftpSink(served.settings(), hub.new_context())
    await sink.open()
    [outcome] = await sink.send([delivery()])
    assert isinstance(outcome, Unknown)
    served.after = lambda step, path: None
    assert await sink.lookup(delivery()) == Accepted("a.edi")
    assert list(await sink.send([delivery()])) == [Accepted("a.edi")]
    await sink.close()
    assert [path.name for path in served.folder.iterdir()] == ["a.edi"]


async def test_an_upload_that_is_cut_leaves_no_file_that_looks_whole(served: Peer, hub: TellingHub) -> None:
    writes = 0

    def cut(step: str, path: str) -> None:
        nonlocal writes
        writes += step == "write"
        if writes == 3:
            served.cut()

    served.fault = cut
    payload = os.urandom(200_000)
    sink = SftpSink(served.settings(), hub.new_context())
    await sink.open()
    [outcome] = await sink.send([delivery(payload)])
    assert isinstance(outcome, Failed)
    assert [path.name for path in served.folder.iterdir()] == ["a.edi.part"]
    served.fault = lambda step, path: None
    assert list(await sink.send([delivery(payload)])) == [Accepted("a.edi")]
    await sink.close()
    assert (served.folder / "a.edi").read_bytes() == payload


async def test_a_write_that_the_server_refuses_is_no_outage(served: Peer, hub: TellingHub) -> None:
    def full(step: str, path: str) -> None:
        if step == "write":
            raise asyncssh.SFTPFailure("no space left")

    served.fault = full
    outcome = await deliver(served.settings(), hub)
    assert isinstance(outcome, Failed)
    assert outcome.error.code == "server_failure"
    assert "no space left" in outcome.error.message


async def test_a_server_that_overwrites_on_rename_does_not_get_the_chance(
    served: Peer, hub: TellingHub
) -> None:
    (served.folder / "a.edi").write_text("theirs!")
    assert isinstance(await deliver(served.settings(), hub), Accepted)
    assert (served.folder / "a.edi").read_text() == "theirs!"


@pytest.mark.parametrize("size_bytes", [100, 3_000, 20_000, 150_000])
async def test_a_connection_that_breaks_while_reading_never_gives_half_a_file(
    served: Peer, hub: TellingHub, size_bytes: int
) -> None:
    content = os.urandom(400_000)
    async with FaultProxy("127.0.0.1", served.port) as proxy:
        proxy.cut_after(size_bytes)
        (served.folder / "a.bin").write_bytes(content)
        async with hub.runs(SftpSource(through(proxy, served.settings()), hub.new_context())):
            await eventually(lambda: hub.bodies == [content], 20)
        assert proxy.connections >= 2


async def test_a_black_hole_while_reading_ends_in_time(served: Peer, hub: TellingHub) -> None:
    content = os.urandom(2_000_000)
    (served.folder / "a.bin").write_bytes(content)
    async with (
        FaultProxy("127.0.0.1", served.port) as proxy,
        hub.runs(SftpSource(through(proxy, served.settings()), hub.new_context())),
    ):
        await eventually(lambda: proxy.bytes_down > 100_000)
        proxy.black_hole()
        await eventually(lambda: not hub.context.health.connected, 10)
        assert hub.log.of("folder_not_reached")[0]["code"] == "timeout"
        proxy.heal()
        await eventually(lambda: hub.bodies == [content], 20)


async def test_a_server_that_falls_silent_after_the_login_is_given_up(served: Peer, hub: TellingHub) -> None:
    """paramiko waits for the answer to its request for a session without a limit (paramiko #462)."""
    async with FaultProxy("127.0.0.1", served.port) as proxy:
        served.fault = lambda step, path: proxy.black_hole() if step == "session" else None
        outcome = await deliver(through(proxy, served.settings(connect_timeout="1s")), hub)
    assert isinstance(outcome, Failed)
    assert outcome.error.code == "timeout"


async def test_a_narrow_link_is_not_taken_for_a_dead_one(served: Peer, hub: TellingHub) -> None:
    """The limit is on silence, not on the whole file."""
    content = os.urandom(300_000)
    (served.folder / "a.bin").write_bytes(content)
    async with FaultProxy("127.0.0.1", served.port) as proxy:
        proxy.limit_rate(100_000)
        settings = through(proxy, served.settings(timeout="1500ms", connect_timeout="5s"))
        async with hub.runs(SftpSource(settings, hub.new_context())):
            await eventually(lambda: hub.bodies == [content], 20)
        assert hub.log.of("folder_not_reached") == []


@pytest.mark.parametrize("key", ["-----BEGIN OPENSSH PRIVATE KEY-----\nrubbish\n", "/no/such/key"])
async def test_a_key_that_cannot_be_read_stops_the_adapter(served: Peer, hub: TellingHub, key: str) -> None:
    for made in (SftpSource, SftpSink):
        with pytest.raises(ConfigError) as refused:
            await made(served.settings(key=key), hub.new_context()).open()
        assert "rubbish" not in str(refused.value)
