"""The operator's story, in a browser: from a mapping error to a budget that has recovered, with two people.

A supplier leaves out the lot that the quality system needs. The operator finds the advice by its order
number, asks what a retry would do, mends one with a second person's approval; the map is put right for the
others, which are retried at a rate; one is refused by the quality system, and goes when that is open again.
"""

from __future__ import annotations

import json
import re

import pytest
from playwright.async_api import Browser, Page, expect

from gateway.keys import NewKey, Role
from tests.console.people import person
from tests.console.site import Site, sections
from tests.gateway.hubs import deployment
from tests.waiting import eventually

pytestmark = [pytest.mark.requires_server("chromium"), pytest.mark.timeout(300)]

ORDERS = [f"450001234{number}" for number in range(4)]
MENDED = 'has(data.lines[0].lot) ? data.lines[0].lot : "without"'
REASON = "The supplier named the lot on the phone"


async def key(site: Site, name: str, *roles: Role) -> str:
    """A key that the audit names."""
    return (await site.hub.keys.create(NewKey(name=name, roles=roles), by="test")).text


async def incident(site: Site) -> None:
    """Five advices, four of them without their lot."""
    await site.known()
    await site.send_unmapped("DN-1", order="4500012349", lot="L-9")
    for number, order in enumerate(ORDERS):
        await site.send_unmapped(f"DN-7{number}", order=order)
    await site.letters(len(ORDERS))
    await eventually(lambda: len(site.erp.lots) == 1)


async def finds_it(page: Page, order: str) -> str:
    """From the overview over the order number to the dead letter; its address."""
    await expect(page.locator(".needs")).to_contain_text("Service level lots is breached in Aachen")
    await expect(page.locator(".needs")).to_contain_text("4 dead letters")
    await page.fill("#q", order)
    await page.press("#q", "Enter")
    await expect(page.locator(".line")).to_contain_text("Dead letter")
    await page.click(".line >> text=Open the dead letter")
    await expect(page.locator(".do")).to_contain_text("The event has no “lot”")
    await expect(page.locator("main")).to_contain_text("The step that failed: the map of route lots-to-qms")
    return page.url


async def takes_it_on(page: Page) -> None:
    await page.click(".needs li:has-text('4 dead letters') >> text=/^Exception/")
    await page.click("button:has-text('Take it on')")
    await expect(page.locator(".history")).to_contain_text("assigned to operator")


async def asks_for_the_group(page: Page, outcome: str, count: str) -> None:
    """What a retry of the group would do."""
    await page.click(".groups a:has-text('The map of route')")
    await page.click("text=Dry run: what would come of it?")
    await expect(page.locator(".counts div", has_text=outcome)).to_contain_text(count)


async def proposes(page: Page, lot: str) -> None:
    """Adds the lot, checks, proposes."""
    await page.click(".do a:text-is('Edit')")
    data = json.loads(await page.input_value("#content"))
    data["lines"][0]["lot"] = lot
    await page.fill("#content", json.dumps(data, indent=2))
    await page.click("button:has-text('Check')")
    await expect(page.locator("[role=status] .diff")).to_contain_text("/lines/0/lot")
    await expect(page.locator("main")).to_contain_text("would be delivered")
    await page.fill("#reason", REASON)
    await page.click("button:has-text('Propose')")
    await expect(page.locator("main")).to_contain_text("An edit waits for a second person")
    await expect(page.locator("main")).to_contain_text("You proposed it, so another person")
    assert await page.locator("button:has-text('Approve')").count() == 0


async def approves(page: Page) -> None:
    """Sees the original, the difference and the reason, and lets it take effect."""
    await page.click(".needs li:has-text('waits for a second person') >> text=Look at it")
    for text in (REASON, "operator", "/lines/0/lot", "L-77", "The bytes as they came", "would be delivered"):
        await expect(page.locator("main")).to_contain_text(text)
    await page.click("button:has-text('Approve and retry')")
    await expect(page.locator("#live-region")).to_contain_text("recovered")


async def retries_the_group(page: Page) -> None:
    """At a rate; sees what recovered, what failed anew, and why."""
    await page.fill("#rate", "20")
    await page.click("button:has-text('Retry all 3')")
    await page.wait_for_url(re.compile(r"/dead-letters/retries/\d+$"))
    await expect(page.locator("#live .state")).to_have_text("Live")
    await expect(page.locator("#state-title")).to_have_text("3 of 3 ended")
    await expect(page.locator(".counts div", has_text="Recovered")).to_contain_text("2")
    await expect(page.locator(".counts div", has_text="Failed anew")).to_contain_text("1")
    await expect(page.locator("tbody")).to_contain_text(f"order {ORDERS[3]} is closed")


async def retries_the_last(page: Page) -> None:
    await page.click("tbody a")
    await page.click(".do a:text-is('Dry run')")
    await expect(page.locator("main")).to_contain_text("can be sent; the target decides")
    await page.click("button:has-text('Retry')")
    await expect(page.locator("#live-region")).to_contain_text("recovered")


async def test_from_a_mapping_error_to_a_budget_that_has_recovered(site: Site, chromium: Browser) -> None:
    await incident(site)
    # Even who may approve does not approve their own.
    operating = await key(site, "operator", "operator", "approver")
    async with person(chromium, site) as operator, person(chromium, site) as second:
        page = operator.page
        await operator.log_in(operating)
        await takes_it_on(page)
        await operator.go("/")
        letter = await finds_it(page, ORDERS[0])
        await asks_for_the_group(page, "would fail again", "4")
        assert len(site.erp.lots) == 1
        await page.goto(letter)
        await proposes(page, "L-77")

        await second.log_in(await key(site, "second person", "approver"))
        await approves(second.page)
        assert site.erp.lots[1:] == [{"order": ORDERS[0], "lot": "L-77"}]

        await site.hub.reload(deployment(**sections(site.erp.url, MENDED)), by="integrator")
        site.erp.closed.add(ORDERS[3])
        await page.goto(letter)
        await asks_for_the_group(page, "would be delivered", "3")
        await retries_the_group(page)
        site.erp.closed.clear()
        await retries_the_last(page)
        told = sorted((lot["order"], lot["lot"]) for lot in site.erp.lots[2:])
        assert told == [(order, "without") for order in ORDERS[1:]]  # each once
        assert site.erp.lots[-1]["order"] == ORDERS[3]

        await operator.go("/service-levels")
        await expect(page.locator("tr#lots")).to_contain_text("kept")
        await expect(page.locator("tr#lots")).to_contain_text("100 %")
        await operator.go("/")
        await expect(page.locator("main")).not_to_contain_text("Service level lots is breached")
        await expect(page.locator(".levels li", has_text="lots")).to_contain_text("100% of budget left")
    await the_audit_shows_it_all(site, chromium)


async def the_audit_shows_it_all(site: Site, chromium: Browser) -> None:
    async with person(chromium, site) as admin:
        page = admin.page
        await admin.log_in(await key(site, "admin", "admin"))
        await page.click(".rooms >> text=Audit")
        for who, act, what in (
            ("operator", "exception.assign", ""),
            ("operator", "dead_letter.edit", REASON),
            ("second person", "edit.applied", "L-77"),
            ("second person", "dead_letter.retry", ""),
            ("integrator", "configuration.load", "lots-to-qms"),
            ("operator", "retry.begin", ""),
            ("operator", "dead_letter.retry", ""),
        ):
            row = page.locator("tbody tr", has_text=act).filter(has=page.get_by_text(who, exact=True))
            await expect(row.first).to_contain_text(what)
        await page.click("text=Verify the chain")
        await expect(page.locator("[role=status]")).to_contain_text("The chain is whole")
