"""WCAG 2.2 AA as far as a machine can tell: axe-core over every room, light and dark."""

from __future__ import annotations

import json
from typing import Any, Literal

import pytest
from playwright.async_api import Browser, Page

from tests.console.people import person
from tests.console.site import REFUSED, Site
from tests.servers.required import PEERS

pytestmark = [pytest.mark.requires_server("chromium", "axe-core"), pytest.mark.timeout(300)]

AXE = PEERS / "node_modules" / "axe-core" / "axe.min.js"
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]


async def faults(page: Page) -> list[str]:
    """What axe finds on the page; as an evaluated text, since the page's policy lets no script in."""
    found: dict[str, Any] = await page.evaluate(
        "(tags) => axe.run(document, {runOnly: {type: 'tag', values: tags}})", RULES
    )
    return [
        f"{fault['id']} ({fault['impact']}): {node['target']} {node['failureSummary']}"
        for fault in found["violations"]
        for node in fault["nodes"]
    ]


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_axe_finds_no_fault_in_any_room(
    site: Site, chromium: Browser, scheme: Literal["light", "dark"]
) -> None:
    await site.known("X-2")
    await site.send(REFUSED, "X-2")
    await site.send("DN-1001")
    await site.parked()
    await site.send_rubbish()
    letters = await site.letters(2)
    await site.send_unmapped("DN-7", item="X-2")
    unmapped = (await site.letters(3))[0]
    data = unmapped["event"]["data"]
    data["lines"][0]["lot"] = "L-1"
    await site.hub.edits.propose(unmapped["id"], json.dumps(data).encode(), by="test", reason="no lot")
    await site.hub.retries.begin({"fingerprint": letters[0]["fingerprint"]}, by="test", rate=100)
    rooms = [
        "/",
        "/search?q=DN-1001",
        "/search?q=unheard-of",
        "/events/1",
        "/dead-letters",
        f"/dead-letters?group={letters[0]['fingerprint']}",
        f"/dead-letters/{letters[1]['id']}",
        f"/dead-letters/{letters[1]['id']}/dry-run",
        f"/dead-letters/groups/{letters[0]['fingerprint']}/dry-run",
        f"/dead-letters/{unmapped['id']}",
        f"/dead-letters/{unmapped['id']}/edit",
        "/dead-letters/retries",
        "/dead-letters/retries/1",
        "/exceptions",
        "/exceptions/1",
        "/codes",
        "/codes/one?domain=item&system=nordstahl&value=X-1",
        "/codes/rows",
        "/codes/rows/1",
        "/lanes",
        f"/lanes/waiting?route={unmapped['route']}&key={unmapped['key']}",
        "/service-levels",
        "/adapters",
        "/routes",
        "/audit",
        "/audit?verify=1",
        "/docs",
    ]
    script = AXE.read_text()
    async with person(chromium, site, color_scheme=scheme, bypass_csp=True) as admin:
        page = admin.page
        await admin.go("/login")
        await page.evaluate(script)
        assert await faults(page) == []
        await admin.log_in(await site.gate.key("admin"))
        found: list[str] = []
        for address in rooms:
            await admin.go(address)
            await page.evaluate(script)
            found += [f"{address}: {fault}" for fault in await faults(page)]
        assert found == []
        await admin.go("/")
        await page.click(".who summary")
        await page.keyboard.press("Tab")
        await page.evaluate(script)
        assert await faults(page) == []
