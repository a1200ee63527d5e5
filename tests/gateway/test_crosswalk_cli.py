"""Crosswalk rows from the command line, as a steward keeps them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.gateway.commands import RunningHub, hub, leased_port

DEPLOYMENT = """
company: acme
gateway: {{port: {port}}}
plants:
  aachen: {{name: Aachen, timezone: Europe/Berlin}}
"""


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningHub]:
    """A hub without rows."""
    folder = tmp_path_factory.mktemp("crosswalks")
    with leased_port() as port:
        (folder / "hub.yaml").write_text(DEPLOYMENT.format(port=port))
        with hub(folder, folder / "hub.yaml", port) as started:
            yield started


def test_a_row_is_proposed_approved_and_retired(running: RunningHub) -> None:
    proposed = running.cli("crosswalks", "add", "item", "erp", "1", "PUMP-1", "--draft", "--why", "a label")
    assert proposed.code == 0, proposed.err
    (row,) = running.cli("crosswalks", "list", "--status", "draft", "--json").json()
    assert f"crosswalks approve {row['id']}" in proposed.err
    number = str(row["id"])
    assert running.cli("crosswalks", "approve", number, "--why", "checked").code == 0
    assert "1  " in running.cli("crosswalks", "list", "--as-of", "2026-03-01T00:00:00Z").out
    again = running.cli("crosswalks", "approve", number)
    assert (again.code, "only a draft is approved" in again.err) == (1, True)
    retired = running.cli(
        "crosswalks", "retire", number, "--why", "gone", "--valid-to", "2026-04-01T00:00:00Z"
    )
    assert "it holds until 2026-04-01" in retired.err
    history = running.cli("crosswalks", "history", number).out
    assert [word in history for word in ("propose", "approve", "retire", "a label", "gone")] == [True] * 5


def test_a_file_is_shown_first_and_then_applied(running: RunningHub, tmp_path: Path) -> None:
    file = tmp_path / "items.csv"
    file.write_text(
        "domain,system,plant,value,canonical\nitem,wms,,7001,VALVE-1\nitem,wms,aachen,7001,VALVE-2\n"
    )
    shown = running.cli("crosswalks", "import", file)
    assert (shown.code, "nothing was changed" in shown.err) == (0, True)
    assert shown.out.splitlines() == [
        "+ line 2: item 7001 of wms is VALVE-1",
        "+ line 3: item 7001 of wms in aachen is VALVE-2",
    ]
    assert running.cli("crosswalks", "list", "--system", "wms", "--json").json() == []
    other = running.cli("crosswalks", "import", file, "--apply", "--hash", "0" * 32)
    assert (other.code, "not the difference that was shown" in other.err) == (1, True)
    applied = running.cli("crosswalks", "import", file, "--apply", "--why", "spring")
    assert (applied.code, "2 added" in applied.err) == (0, True)
    file.write_text("domain,system,plant,value,canonical\nitem,wms,,7001,VALVE-9\nitem,wms,paris,7001,V\n")
    wrong = running.cli("crosswalks", "import", file, "--apply")
    assert wrong.code == 1
    assert "~ line 2: item 7001 of wms is VALVE-9, was VALVE-1" in wrong.out
    assert "! line 3: 'paris' is no plant" in wrong.out
    assert {row["canonical"] for row in running.cli("crosswalks", "list", "--json").json()} >= {"VALVE-1"}
    file.write_text("domain,system\n")
    unread = running.cli("crosswalks", "import", file)
    assert (unread.code, "the column 'value' is missing" in unread.err) == (1, True)
    assert running.cli("crosswalks", "import", tmp_path / "none.csv").code == 2


def test_candidates_are_listed_with_their_reason(running: RunningHub) -> None:
    assert running.cli("crosswalks", "add", "item", "mes", "A-4711", "PUMP-7").code == 0
    found = running.cli("crosswalks", "candidates", "item", "mes", "A4711")
    assert found.code == 0, found.err
    assert "PUMP-7" in found.out
    assert "but for signs and case equal" in found.out
    assert "nothing is like it" in running.cli("crosswalks", "candidates", "uom", "mes", "ST").err
