"""Certificates and logins, with a server that is not ours."""

import asyncio
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from adapters.conformance.proxy import FaultProxy
from adapters.opcua import connect
from adapters.opcua.config import OpcuaConfig
from tests.adapters.opcua.running import options, running
from tests.servers import OpcuaPeer, StartOpcuaPeer, free_port, give_back, requires_server
from tests.waiting import eventually

USER: dict[str, Any] = {"username": "crossplant", "password": "s3cret-Ü"}


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory, opcua_pki: Path) -> Iterator[OpcuaPeer]:
    """A server that wants a user name."""
    requires_server("node-opcua")
    port = free_port()
    peer = OpcuaPeer.create(tmp_path_factory.mktemp("guarded") / "peer", port=port, pki=opcua_pki)
    peer.start(username=USER["username"], password=USER["password"])
    yield peer
    peer.stop()
    give_back(port)


def trusting(folder: Path, pki: Path) -> None:
    """Puts the peer's certificate where an operator would."""
    (folder / "trusted").mkdir()
    (own,) = (pki / "own" / "certs").glob("*.pem")
    shutil.copy(own, folder / "trusted")


@pytest.mark.parametrize("mode", ["Sign", "SignAndEncrypt"])
@pytest.mark.parametrize("policy", ["Basic256Sha256", "Aes128Sha256RsaOaep", "Aes256Sha256RsaPss"])
async def test_every_policy_and_mode_works_with_a_user(
    guarded: OpcuaPeer, tmp_path: Path, policy: str, mode: str
) -> None:
    trusting(tmp_path, guarded.pki)
    settings = options(guarded.url, "counter", security={"policy": policy, "mode": mode}, **USER)
    async with running(settings, tmp_path) as run:
        await run.comes_anew("counter")
    assert stat.S_IMODE((tmp_path / "own" / "key.pem").stat().st_mode) == 0o600


async def test_a_protected_session_survives_a_cut(guarded: OpcuaPeer, tmp_path: Path) -> None:
    trusting(tmp_path, guarded.pki)
    async with FaultProxy("127.0.0.1", guarded.port) as proxy:
        url = f"opc.tcp://{proxy.host}:{proxy.port}/UA/peer"
        settings = options(url, "counter", security={}, sampling_interval="0ms", **USER)
        async with running(settings, tmp_path) as run:
            await run.comes_anew("counter")
            proxy.cut()
            await eventually(lambda: not run.hub.context.health.connected)
            await run.connected()
            await run.comes_anew("counter", 5)
            assert run.gaps() == []
            assert len({note["session"] for note in run.notes()}) == 1


async def test_the_channels_token_is_renewed(
    guarded: OpcuaPeer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connect, "CHANNEL_S", 1.0)
    trusting(tmp_path, guarded.pki)
    async with running(options(guarded.url, "counter", security={}, **USER), tmp_path) as run:
        await run.comes_anew("counter", 30)
        assert run.statuses() == ["online"]
        assert run.gaps() == []


async def test_an_unknown_certificate_is_refused_until_it_is_trusted(
    guarded: OpcuaPeer, tmp_path: Path
) -> None:
    settings = options(guarded.url, "counter", security={}, **USER)
    async with running(settings, tmp_path) as run:
        health = run.hub.context.health
        await eventually(lambda: "unknown and was refused" in health.detail)
        (rejected,) = (tmp_path / "rejected").iterdir()
        assert str(rejected) in health.detail
        assert str(tmp_path / "trusted") in health.detail
        assert run.statuses() == ["offline"]
        rejected.rename(tmp_path / "trusted" / rejected.name)
        await run.connected()
        await run.comes_anew("counter")


async def test_a_password_is_not_encrypted_for_an_unknown_certificate(
    guarded: OpcuaPeer, tmp_path: Path
) -> None:
    async with running(options(guarded.url, "counter", **USER), tmp_path) as run:
        await eventually(lambda: "unknown and was refused" in run.hub.context.health.detail)


async def test_a_wrong_password_is_said_and_not_hammered(guarded: OpcuaPeer, tmp_path: Path) -> None:
    trusting(tmp_path, guarded.pki)
    async with FaultProxy("127.0.0.1", guarded.port) as proxy:
        wrong = {**USER, "password": "wrong"}
        settings: OpcuaConfig = options(
            f"opc.tcp://{proxy.host}:{proxy.port}/UA/peer", "counter", security={}, max_backoff="1m", **wrong
        )
        async with running(settings, tmp_path) as run:
            await eventually(lambda: "refuses the login" in run.hub.context.health.detail)
            tried = proxy.connections
            await asyncio.sleep(1.5)
            assert proxy.connections == tried
            assert "wrong" not in run.hub.context.health.detail


async def test_a_server_that_does_not_trust_us_is_named(
    start_opcua_peer: StartOpcuaPeer, tmp_path: Path
) -> None:
    pki = tmp_path / "pki"
    peer = start_opcua_peer(strict=True, pki=pki)
    data = tmp_path / "data"
    data.mkdir()
    trusting(data, pki)
    async with running(options(peer.url, "counter", security={}), data) as run:
        await eventually(lambda: "not trust our certificate" in run.hub.context.health.detail)
        assert "own/certificate.der" in run.hub.context.health.detail
