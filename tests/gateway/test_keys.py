"""API keys through the API and on the machine itself."""

from __future__ import annotations

import asyncio
import os
import socket
import stat
from pathlib import Path

import pytest

from canonical.errors import ConfigError
from gateway import audit, keys, local
from gateway.keys import Key, KeyConflict, Keys, NewKey
from gateway.listening import listening
from gateway.unixsocket import SOCKET, peer_uid
from router.journal.sqlite import SQLiteJournal
from tests.gateway.hubs import Gate

VIEWER = NewKey(name="someone", roles=("viewer",))


async def test_a_key_is_shown_once_and_kept_as_argon2id(gate: Gate) -> None:
    admin = await gate.client("admin")
    answer = await admin.post("/v1/keys", json={"name": "mes", "roles": ["integrator"], "plants": ["aachen"]})
    assert answer.status_code == 201
    made = answer.json()
    prefix, identifier, secret = made["key"].split("_", 2)
    assert (prefix, identifier, len(secret) >= 43) == ("cp", made["id"], True)
    rows = await gate.hub.journal.read(
        lambda t: t.execute("SELECT * FROM api_keys WHERE id = ?", (identifier,))
    )
    assert secret not in str(rows)
    assert any(str(value).startswith("$argon2id$") for value in rows[0])
    listed = (await admin.get("/v1/keys")).text
    assert secret not in listed
    assert "argon2" not in listed
    acts = (await admin.get("/v1/audit", params={"subject": f"key/{identifier}"})).json()["items"]
    assert [(entry["act"], entry["actor"]) for entry in acts] == [("key.create", "test 0")]
    assert secret not in str(acts)


async def test_rotating_and_revoking_end_a_key_at_once(gate: Gate) -> None:
    admin, client = await gate.client("admin"), await gate.client()
    made = (await admin.post("/v1/keys", json={"name": "x", "roles": ["viewer"]})).json()
    old = {"Authorization": f"Bearer {made['key']}"}
    assert (await client.get("/v1/plants", headers=old)).status_code == 200
    rotated = (await admin.post(f"/v1/keys/{made['id']}/rotate")).json()
    new = {"Authorization": f"Bearer {rotated['key']}"}
    assert (await client.get("/v1/plants", headers=old)).status_code == 401
    assert (await client.get("/v1/plants", headers=new)).status_code == 200
    revoked = (await admin.post(f"/v1/keys/{made['id']}/revoke")).json()
    assert revoked["revoked_at"]
    assert (await client.get("/v1/plants", headers=new)).status_code == 401
    assert (await admin.post(f"/v1/keys/{made['id']}/rotate")).status_code == 404


async def test_why_a_key_was_made_rotated_and_revoked_is_in_the_audit(gate: Gate) -> None:
    admin = await gate.client("admin")
    wanted = {"name": "x", "roles": ["viewer"], "reason": "a new terminal"}
    made = (await admin.post("/v1/keys", json=wanted)).json()
    path = f"/v1/keys/{made['id']}"
    too_long = await admin.post(f"{path}/rotate", json={"reason": "x" * 2001})
    assert (too_long.status_code, too_long.json()["errors"][0]["pointer"]) == (422, "/reason")
    assert (await admin.post(f"{path}/rotate", json={"reason": "it was on a note"})).status_code == 200
    assert (await admin.post(f"{path}/rotate")).status_code == 200  # nobody has to say why
    assert (await admin.post(f"{path}/revoke", json={"reason": "scrapped"})).status_code == 200
    entries = await audit.page(gate.hub.journal, subject=f"key/{made['id']}")
    assert [(entry.act, entry.details.get("reason")) for entry in entries] == [
        ("key.revoke", "scrapped"),
        ("key.rotate", None),
        ("key.rotate", "it was on a note"),
        ("key.create", "a new terminal"),
    ]


async def test_a_key_revoked_while_it_is_verified_is_not_remembered(gate: Gate) -> None:
    made = await gate.hub.keys.create(VIEWER, by="test")
    verifying = asyncio.create_task(gate.hub.keys.verify(made.text))
    await asyncio.sleep(0)
    await gate.hub.keys.revoke(made.key.id, by="test")
    await verifying
    assert gate.hub.keys.remembered(made.text) is None
    assert await gate.hub.keys.verify(made.text) is None


async def test_many_connections_at_once_cost_one_verification(
    gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = await gate.hub.keys.create(VIEWER, by="test")
    costly, matches = 0, gate.hub.keys._matches

    async def counted(digest: str, secret: str) -> bool:
        nonlocal costly
        costly += 1
        return await matches(digest, secret)

    monkeypatch.setattr(gate.hub.keys, "_matches", counted)
    found = await asyncio.gather(*(gate.hub.keys.verify(made.text) for _ in range(50)))
    assert {key.id for key in found if key} == {made.key.id}
    assert costly == 1


async def test_use_is_noted(gate: Gate) -> None:
    made = await gate.hub.keys.create(VIEWER, by="test")
    assert made.key.last_used_at is None
    await gate.hub.keys.verify(made.text)
    found = await gate.hub.keys.find(made.key.id)
    assert found is not None
    assert found.last_used_at is not None


async def test_a_name_is_taken_until_its_key_is_revoked(gate: Gate) -> None:
    admin = await gate.client("admin")
    first = (await admin.post("/v1/keys", json={"name": "x", "roles": ["viewer"]})).json()
    again = await admin.post("/v1/keys", json={"name": "x", "roles": ["viewer"]})
    assert (again.status_code, again.json()["code"]) == (409, "key_exists")
    await admin.post(f"/v1/keys/{first['id']}/revoke")
    assert (await admin.post("/v1/keys", json={"name": "x", "roles": ["viewer"]})).status_code == 201


@pytest.mark.parametrize(
    "body",
    [
        {"name": "x"},
        {"name": "x", "roles": []},
        {"name": "x", "roles": ["root"]},
        {"name": " ", "roles": ["viewer"]},
        {"name": "a\nb", "roles": ["viewer"]},
        {"name": "x", "roles": ["viewer"], "plants": []},
        {"name": "x", "roles": ["viewer"], "plants": ["paris"]},
        {"name": "x", "roles": ["viewer"], "plants": ["-"]},
        {"name": "x", "roles": ["viewer"], "domains": ["cooking"]},
        {"name": "x", "roles": ["viewer"], "expires_at": "tomorrow"},
        {"name": "x", "roles": ["viewer"], "expires_at": "2036-01-01T00:00:00"},
        {"name": "x", "roles": ["viewer"], "superuser": True},
    ],
)
async def test_what_no_key_can_be_is_422(gate: Gate, body: dict[str, object]) -> None:
    answer = await (await gate.client("admin")).post("/v1/keys", json=body)
    assert answer.status_code == 422, answer.text


async def test_nobody_gives_more_than_they_have(gate: Gate) -> None:
    admin, local_admin = await gate.client("admin"), await gate.client("admin", plants=["aachen"])
    for body in (
        {"name": "a", "roles": ["viewer"]},
        {"name": "b", "roles": ["viewer"], "plants": ["aachen", "brno"]},
    ):
        assert (await local_admin.post("/v1/keys", json=body)).status_code == 403
    mine = await local_admin.post("/v1/keys", json={"name": "c", "roles": ["viewer"], "plants": ["aachen"]})
    assert mine.status_code == 201
    foreign = (await admin.post("/v1/keys", json={"name": "d", "roles": ["viewer"]})).json()
    assert (await local_admin.post(f"/v1/keys/{foreign['id']}/revoke")).status_code == 403
    names = {each["name"] for each in (await local_admin.get("/v1/keys")).json()["items"]}
    assert "c" in names
    assert "d" not in names
    assert (await local_admin.get("/v1/audit")).status_code == 403


# ── on the machine itself ──


def test_without_a_hub_the_store_is_opened(tmp_path: Path) -> None:
    made = local.create(tmp_path / "data", VIEWER)
    assert [key.name for key in local.listed(tmp_path / "data")] == ["someone"]
    with pytest.raises(KeyConflict):
        local.create(tmp_path / "data", VIEWER)
    assert local.rotate(tmp_path / "data", "someone").key.id == made.key.id
    assert local.revoke(tmp_path / "data", made.key.id).revoked_at is not None
    with pytest.raises(LookupError):
        local.revoke(tmp_path / "data", "someone")


async def test_a_running_hub_answers_on_its_socket(gate: Gate) -> None:
    folder = gate.hub.data_dir
    async with listening(gate.hub.keys, folder):
        path = folder / SOCKET
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        made = await asyncio.to_thread(local.create, folder, VIEWER)
        assert await gate.hub.keys.verify(made.text) == made.key
        listed: list[Key] = await asyncio.to_thread(local.listed, folder)
        assert [key.id for key in listed] == [made.key.id]
        with pytest.raises(KeyConflict, match="rotate or revoke"):
            await asyncio.to_thread(local.create, folder, VIEWER)
        with pytest.raises(ValueError, match="printable"):
            await asyncio.to_thread(local.create, folder, NewKey(name="", roles=("viewer",)))
        with pytest.raises(LookupError, match="nobody"):
            await asyncio.to_thread(local.revoke, folder, "nobody")
        await asyncio.to_thread(local.rotate, folder, made.key.id)
        assert await gate.hub.keys.verify(made.text) is None  # the hub's own memory forgot it
        await asyncio.to_thread(local.revoke, folder, "someone", "left the works")
    entries = await audit.page(gate.hub.journal)
    acts = [entry.act for entry in entries if entry.act.startswith("key.")]
    assert acts == ["key.revoke", "key.rotate", "key.create"]
    assert entries[0].actor.startswith("local:")
    assert entries[0].details == {"name": "someone", "reason": "left the works"}
    assert not (folder / SOCKET).exists()


async def test_a_socket_that_a_killed_hub_left_is_no_obstacle(
    gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = gate.hub.data_dir
    monkeypatch.chdir(folder)  # an address has room for 107 bytes only
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(SOCKET)
    async with listening(gate.hub.keys, folder):
        assert await asyncio.to_thread(local.listed, folder) == []


async def test_a_hub_without_socket_refuses_a_second_opening(gate: Gate) -> None:
    with pytest.raises(ConfigError, match="another hub"):
        await asyncio.to_thread(local.listed, gate.hub.data_dir)


async def test_a_deep_data_folder_is_no_obstacle(tmp_path: Path) -> None:
    folder = tmp_path / ("x" * 100) / ("y" * 100)
    folder.mkdir(parents=True)
    journal = SQLiteJournal(folder, tables=(*keys.TABLES, *audit.TABLES))
    await journal.open()
    try:
        async with listening(Keys(journal, audit.Audit(folder).record), folder):
            assert await asyncio.to_thread(local.listed, folder) == []
    finally:
        await journal.close()


def test_the_kernel_tells_who_is_at_the_other_end() -> None:
    one, other = socket.socketpair()
    with one, other:
        assert peer_uid(one) == os.getuid()
