"""Messages over ``journal.claim_over``: who asks for one does not notice where it lies, unless it is lost."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from canonical.errors import Rejected
from canonical.ports import Failed
from config.load import check
from tests.gateway.hubs import HOOK_SECRET, Gate, opened
from tests.router.rig import ScriptedSink, route
from tests.waiting import eventually

ORDER = {"order": "W-1", "item": "A-1", "quantity": "5", "at": "2026-03-31T10:00:00Z"}
BODY = json.dumps(ORDER | {"drawing": "x" * 150_000}).encode()


async def sent(gate: Gate) -> int:
    """The position of the event of the large order."""
    headers = {"Authorization": f"Bearer {HOOK_SECRET}", "Content-Type": "application/json"}
    answer = await (await gate.client()).post("/v1/webhooks/mes", content=BODY, headers=headers)
    assert answer.status_code == 202, answer.text
    return int(answer.json()["results"][0]["positions"][0])


async def test_timeline_and_dead_letter_show_it_and_its_loss_is_told(tmp_path: Path) -> None:
    async with opened(tmp_path, journal={"claim_over": "100kB"}) as gate:
        await gate.route(route(), ScriptedSink(lambda _: Failed(Rejected("no drawings here"))))
        position = await sent(gate)
        [file] = (tmp_path / "claims").iterdir()
        assert file.read_bytes() == BODY
        viewer = await gate.client("viewer")
        raw = (await viewer.get(f"/v1/events/{position}/timeline")).json()["raw"]
        assert (raw["adapter"], raw["size_bytes"]) == ("mes", len(BODY))
        assert BODY.decode().startswith(raw["body"])

        async def letters() -> list[dict[str, Any]]:
            return list((await viewer.get("/v1/dead-letters")).json()["items"])

        [letter] = await eventually(letters)
        shown = (await viewer.get(f"/v1/dead-letters/{letter['id']}")).json()
        assert shown["size_bytes"] == len(BODY)

        file.write_bytes(BODY.replace(b"x", b"y", 1))
        lost = await viewer.get(f"/v1/events/{position}/timeline")
        assert (lost.status_code, lost.json()["code"]) == (500, "journal_corrupt")
        assert f"claims/{file.name} does not match its hash" in lost.json()["detail"]
        assert (await viewer.get(f"/v1/events/{position}")).status_code == 200


async def test_a_size_that_is_too_small_for_files_is_refused(tmp_path: Path) -> None:
    settings = tmp_path / "deployment.yaml"
    settings.write_text("company: acme\njournal: {claim_over: 10kB}\n")
    [finding] = check(settings)
    assert "journal.claim_over" in str(finding)
