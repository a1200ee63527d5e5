"""`crossplant doctor`: what it finds, and what it says to do."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

import apsw
import pytest

from gateway import doctor
from gateway.doctor import Finding
from router.journal import schema
from tests.gateway.commands import crossplant
from tests.gateway.hubs import opened

MOUNTS = """\
/dev/vda1 / ext4 rw 0 0
tmpfs /run tmpfs rw 0 0
plant:/export /srv/with\\040blank nfs4 rw 0 0
/dev/vdb /srv ext4 rw 0 0
"""


def one(findings: Sequence[Finding], what: str) -> Finding:
    """The finding about it."""
    (found,) = [each for each in findings if each.what == what]
    return found


async def examined(data: Path, config: Path | None = None) -> list[Finding]:
    """All findings, found in a thread as a command would."""
    return await asyncio.to_thread(lambda: list(doctor.examine(config, data)))


def test_without_paths_the_machine_is_examined() -> None:
    done = crossplant("doctor", "--json")
    found = {each["what"]: each["verdict"] for each in done.json()["findings"]}
    assert (done.code, found["program"], found["sqlite"]) == (0, "ok", "ok")
    assert found.keys() == {"program", "sqlite", "files"}


def test_a_broken_deployment_is_bad_and_says_where_to_look(tmp_path: Path) -> None:
    settings = tmp_path / "hub.yaml"
    settings.write_text("company: acme\ngatway: {}\n")
    done = crossplant("doctor", "--config", settings, "--data", tmp_path / "none")
    assert done.code == 1
    assert f"BAD       config   {settings}: 1 errors, 0 warnings" in done.out
    assert f"see `crossplant check --config {settings}`" in done.out
    assert "DOUBTFUL  data" in done.out


@pytest.mark.parametrize(
    ("path", "kind"),
    [("/run/hub", "tmpfs"), ("/srv/with blank/hub", "nfs4"), ("/srv/hub", "ext4"), ("/runner", "ext4")],
)
def test_the_file_system_is_that_of_the_nearest_mount(path: str, kind: str) -> None:
    assert doctor._kind_of(Path(path), MOUNTS) == kind


async def test_a_hub_that_runs_is_known_by_its_lock_and_asked(tmp_path: Path) -> None:
    async with opened(tmp_path):
        found = await examined(tmp_path)
        hub = one(found, "hub")
        assert (hub.verdict, "runs and does not answer" in hub.detail) == ("doubtful", True)
        assert one(found, "journal") == Finding(
            what="journal", verdict="ok", detail=f"version {schema.VERSION}"
        )
        assert one(found, "sync").detail.startswith("a durable write takes ")
    assert one(await examined(tmp_path), "hub").detail == "none runs on this folder"


def test_who_else_may_read_the_folder_is_told(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    found = one(list(doctor.examine(None, tmp_path)), "data")
    assert (found.verdict, f"chmod 700 {tmp_path}" in found.remedy) == ("doubtful", True)
    tmp_path.chmod(0o700)
    assert one(list(doctor.examine(None, tmp_path)), "data").verdict == "ok"


@pytest.mark.parametrize(
    ("statement", "verdict", "told"),
    [
        (f"UPDATE meta SET value = '{schema.VERSION + 1}' WHERE key = 'schema'", "bad", "or a newer one"),
        ("UPDATE meta SET value = '0' WHERE key = 'schema'", "doubtful", "make a backup before"),
        ("DROP TABLE meta", "bad", "restore a backup"),
    ],
)
async def test_a_journal_that_is_not_of_this_program_is_told(
    tmp_path: Path, statement: str, verdict: str, told: str
) -> None:
    async with opened(tmp_path):
        pass
    connection = apsw.Connection(str(tmp_path / "journal.db"))
    connection.execute(statement)
    connection.close()
    found = one(await examined(tmp_path), "journal")
    assert (found.verdict, told in found.remedy) == (verdict, True), found


async def test_more_history_than_the_disk_holds_is_told(tmp_path: Path) -> None:
    settings = tmp_path / "hub.yaml"
    settings.write_text("company: acme\njournal: {retain_size: 900000TB}\n")
    found = one(await examined(tmp_path, settings), "room")
    assert (found.verdict, "journal.retain_size" in found.remedy) == ("doubtful", True)
