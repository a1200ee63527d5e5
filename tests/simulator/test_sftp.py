"""The SFTP server of the company: who is let in, and what each of them sees."""

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import asyncssh
import pytest

from simulator.sftp import SftpServer


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[SftpServer]:
    folders = {name: tmp_path / name for name in ("nordstahl", "lakeshore")}
    for folder in folders.values():
        (folder / "out").mkdir(parents=True)
    running = SftpServer(folders)
    await running.open()
    yield running
    await running.close()


def connect(
    server: SftpServer, name: str, key: str, host_key: str = ""
) -> AbstractAsyncContextManager[asyncssh.SSHClientConnection]:
    hosts = asyncssh.import_known_hosts(f"[127.0.0.1]:{server.port} {host_key or server.host_key}\n")
    return asyncssh.connect(
        "127.0.0.1",
        server.port,
        username=name,
        client_keys=[asyncssh.import_private_key(key)],
        known_hosts=hosts,
        config=None,
        agent_path=None,
    )


async def test_an_account_sees_its_own_folder_and_nothing_else(server: SftpServer, tmp_path: Path) -> None:
    async with (
        connect(server, "nordstahl", server.key("nordstahl")) as connection,
        connection.start_sftp_client() as client,
    ):
        async with client.open("/out/a.edi", "wb") as file:
            await file.write(b"UNB")
        assert sorted(await client.listdir("/")) == [".", "..", "out"]
        assert not await client.exists("/../lakeshore")
        assert sorted(await client.listdir("/../../..")) == [".", "..", "out"]
    assert (tmp_path / "nordstahl" / "out" / "a.edi").read_bytes() == b"UNB"


async def test_the_key_of_another_account_is_refused(server: SftpServer) -> None:
    with pytest.raises(asyncssh.PermissionDenied):
        async with connect(server, "nordstahl", server.key("lakeshore")):
            pass
    with pytest.raises(asyncssh.PermissionDenied):
        async with connect(server, "stranger", server.key("lakeshore")):
            pass


async def test_its_host_key_is_its_own_and_new_for_every_run(server: SftpServer) -> None:
    other = SftpServer({}).host_key
    assert other != server.host_key
    with pytest.raises(asyncssh.HostKeyNotVerifiable):
        async with connect(server, "nordstahl", server.key("nordstahl"), other):
            pass


async def test_close_ends_connections(server: SftpServer) -> None:
    async with connect(server, "nordstahl", server.key("nordstahl")) as connection:
        await server.close()
        await connection.wait_closed()
