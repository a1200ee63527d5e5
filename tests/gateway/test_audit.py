"""The audit shows that it was tampered with, and how."""

import asyncio
from pathlib import Path

import apsw
import pytest

from gateway import auditchain
from gateway.audit import TABLES, Audit, page
from router.journal.sqlite import SQLiteJournal
from tests.gateway.commands import crossplant

_ACTS = 12


@pytest.fixture
async def audited(tmp_path: Path) -> Path:
    """A data folder with a dozen acts, its journal closed."""
    journal = SQLiteJournal(tmp_path, tables=TABLES)
    await journal.open()
    audit = Audit(tmp_path)
    for number in range(_ACTS):
        await journal.write(
            lambda t, n=number: audit.record(t, "desk", "lane.release", f"route/r{n}", {"key": n})  # type: ignore[misc]
        )
    await journal.close()
    return tmp_path


async def _verify(folder: Path) -> list[str]:
    journal = SQLiteJournal(folder, tables=TABLES)
    await journal.open()
    try:
        found: list[str] = (await Audit(folder).verify(journal))["findings"]
        return found
    finally:
        await journal.close()


def _tamper(folder: Path, *statements: str) -> None:
    connection = apsw.Connection(str(folder / "journal.db"))
    with connection:
        for statement in statements:
            connection.execute(statement)
    connection.close()


async def test_untouched_audit_verifies_and_tells_its_head(audited: Path) -> None:
    journal = SQLiteJournal(audited, tables=TABLES)
    await journal.open()
    found = await Audit(audited).verify(journal)
    assert found["findings"] == []
    assert (found["head"]["first"], found["head"]["last"]) == (1, _ACTS)
    assert (await Audit(audited).verify(journal, seal=found["head"]["seal"]))["findings"] == []
    assert (await Audit(audited).verify(journal, seal="ab"))["findings"] != []
    assert [entry.id for entry in await page(journal, limit=3)] == [12, 11, 10]
    await journal.close()


@pytest.mark.parametrize(
    ("statements", "named"),
    [
        (["DELETE FROM audit WHERE id = 5", "DELETE FROM audit_seals WHERE id = 5"], "row 5 was deleted"),
        (["DELETE FROM audit WHERE id = 5"], "row 5 was deleted, its seal is left"),
        (["UPDATE audit SET actor = 'nobody' WHERE id = 7"], "row 7 was edited"),
        (["UPDATE audit SET at = at + 60 WHERE id = 7"], "row 7 was edited"),
        (
            [
                "UPDATE audit SET id = -1 WHERE id = 3",
                "UPDATE audit SET id = 3 WHERE id = 4",
                "UPDATE audit SET id = 4 WHERE id = -1",
            ],
            "row 3 was moved: it changed places with row 4",
        ),
        (
            [
                f"UPDATE {table} SET id = {new} WHERE id = {old}"
                for table in ("audit", "audit_seals")
                for old, new in ((3, -1), (4, 3), (-1, 4))
            ],
            "row 3 was moved: it changed places with row 4",
        ),
        (
            ["DELETE FROM audit WHERE id > 9", "DELETE FROM audit_seals WHERE id > 9"],
            "the end was cut off: rows 10 to 12 are gone",
        ),
        (
            [
                "DELETE FROM audit WHERE id > 9",
                "DELETE FROM audit_seals WHERE id > 9",
                "UPDATE audit_head SET last = 9, seal = (SELECT seal FROM audit_seals WHERE id = 9)",
            ],
            "the head of the chain was changed, or the key is another one",
        ),
        (["DELETE FROM audit_head"], "the head of the chain is gone: rows may be missing at the end"),
        (
            ["INSERT INTO audit VALUES (13, 0, 'me', 'key.create', 'key/x', '{}')"],
            "row 13 was added without a seal",
        ),
        (["UPDATE audit_seals SET seal = x'00' WHERE id = 6"], "the chain breaks at row 6"),
    ],
)
async def test_tampering_is_named(audited: Path, statements: list[str], named: str) -> None:
    _tamper(audited, *statements)
    assert any(finding.startswith(named) for finding in await _verify(audited))


async def test_another_key_vouches_for_nothing(audited: Path) -> None:
    (audited / auditchain.KEY_FILE).write_bytes(bytes(32))
    assert "the head of the chain was changed, or the key is another one" in await _verify(audited)


async def test_key_is_for_its_owner_only(audited: Path) -> None:
    assert (audited / auditchain.KEY_FILE).stat().st_mode & 0o777 == 0o600


async def test_rows_from_before_the_chain_are_not_vouched_for(tmp_path: Path) -> None:
    journal = SQLiteJournal(tmp_path, tables=TABLES)
    await journal.open()
    await journal.write(
        lambda t: t.execute("INSERT INTO audit VALUES (1, 0, 'before', 'key.create', 'key/x', '{}')")
    )
    audit = Audit(tmp_path)
    await journal.write(lambda t: audit.record(t, "desk", "lane.release", "route/r", {}))
    found = await audit.verify(journal)
    assert found["findings"] == []
    assert found["head"]["first"] == 2
    await journal.close()


@pytest.mark.parametrize(
    ("statements", "named"),
    [
        (["DELETE FROM audit WHERE id = 5", "DELETE FROM audit_seals WHERE id = 5"], "row 5 was deleted"),
        (["UPDATE audit SET act = 'key.rotate' WHERE id = 2"], "row 2 was edited"),
        (
            [
                f"UPDATE {table} SET id = {new} WHERE id = {old}"
                for table in ("audit", "audit_seals")
                for old, new in ((3, -1), (4, 3), (-1, 4))
            ],
            "row 3 was moved: it changed places with row 4",
        ),
        (
            ["DELETE FROM audit WHERE id > 9", "DELETE FROM audit_seals WHERE id > 9"],
            "the end was cut off: rows 10 to 12 are gone",
        ),
    ],
    ids=["deletion", "edit", "reordering", "truncation"],
)
async def test_command_names_what_was_done_where_no_hub_runs(
    audited: Path, statements: list[str], named: str
) -> None:
    whole = await asyncio.to_thread(crossplant, "audit", "verify", "--json", "--data", audited)
    assert (whole.code, whole.json()["findings"]) == (0, [])
    _tamper(audited, *statements)
    found = await asyncio.to_thread(crossplant, "audit", "verify", "--data", audited)
    assert (found.code, found.out.splitlines()[0]) == (1, named)
