"""What people do in a browser: find, approve, retry, discard, by mouse and by keys."""

from __future__ import annotations

import pytest
from playwright.async_api import Browser, expect

from canonical.errors import TransientError
from canonical.ports import Failed
from gateway import audit
from router.recoverability import Policy
from tests.console.people import person
from tests.console.site import REFUSED, Site
from tests.gateway.hubs import event
from tests.router.rig import ScriptedSink, route
from tests.waiting import eventually

pytestmark = [pytest.mark.requires_server("chromium"), pytest.mark.timeout(300)]


async def test_a_steward_finds_the_parked_asn_approves_its_code_and_sees_it_delivered(
    site: Site, chromium: Browser
) -> None:
    await site.send("DN-1001")
    await site.parked()
    async with person(chromium, site) as steward:
        page = steward.page
        await steward.log_in(await site.gate.key("steward"))
        await page.fill("#q", "DN-1001")
        await page.press("#q", "Enter")
        await expect(page.locator(".line")).to_contain_text("Parked")
        await page.click("text=Say what the code is")
        await page.fill("#other", "ITEM-1")
        await page.check("text=plant aachen only")
        await page.click("text=Approve and deliver 1")
        await expect(page.locator("#live-region")).to_contain_text("All 1 that waited are delivered")
        await page.click("#live-region a")
        await expect(page.locator(".line")).to_contain_text("Delivered")
    assert site.erp.notes() == ["DN-1001"]


async def test_an_operator_retries_what_is_mended_and_sees_it_recover(site: Site, chromium: Browser) -> None:
    await site.known()
    await site.send(REFUSED)
    await site.letters(1)
    async with person(chromium, site) as operator:
        page = operator.page
        await operator.log_in(await site.gate.key("operator"))
        await page.click(".needs a:has-text('Open it')")
        await expect(page.locator(".do")).to_contain_text("What most likely helps")
        site.erp.refuses = False
        await page.click("button:has-text('Retry')")
        await expect(page.locator("#live-region")).to_contain_text("recovered")
    assert site.erp.notes() == [REFUSED]


async def test_an_operator_discards_with_a_reason(site: Site, chromium: Browser) -> None:
    await site.send_rubbish()
    async with person(chromium, site) as operator:
        page = operator.page
        await operator.log_in(await site.gate.key("operator"))
        await page.click(".rooms >> text=Dead letters")
        await page.click("tbody a")
        await page.click("button:has-text('Discard')")  # the browser asks for the reason
        assert "/dead-letters/" in page.url
        await expect(page.locator("#reason")).to_be_focused()
        await page.fill("#reason", "sent again")
        await page.click("button:has-text('Discard')")
        await expect(page.locator("#live-region")).to_contain_text("discarded")
        await expect(page.locator("#live-region")).to_contain_text("sent again")


async def test_an_operator_lets_a_lane_go_and_what_was_typed_outlives_a_change_of_the_page(
    site: Site, chromium: Browser
) -> None:
    policy = Policy(first_s=600.0, max_s=600.0, give_up_after_s=6000.0)
    held = ScriptedSink(lambda _: Failed(TransientError("somebody has it open", busy=True)))
    await site.gate.route(route(policy=policy), held)
    await site.gate.record(event(1), event(2))
    async with person(chromium, site) as operator:
        page = operator.page
        await operator.log_in(await site.gate.key("operator"))
        await operator.go("/lanes")
        await expect(page.locator("#live-region tbody tr")).to_have_count(2)
        why = page.locator("tr:has-text('O-2') input[name=reason]")
        await why.fill("the planner closed it")
        await page.locator("h1").click()  # the field has not the focus
        await site.gate.record(event(3))
        await expect(page.locator("#live-region tbody tr")).to_have_count(3)
        await expect(why).to_have_value("the planner closed it")
        await page.click("tr:has-text('O-2') button:has-text('Try now')")
        await expect(page.locator(".told")).to_contain_text("Let go")
    (act,) = await audit.page(site.hub.journal, act="lane.release")
    assert act.details["reason"] == "the planner closed it"


async def test_a_viewer_is_told_why_there_are_no_actions(site: Site, chromium: Browser) -> None:
    await site.send_rubbish()
    letter = (await site.letters(1))[0]
    async with person(chromium, site) as viewer:
        await viewer.log_in(await site.gate.key("viewer"))
        await viewer.go(f"/dead-letters/{letter['id']}")
        await expect(viewer.page.locator(".why")).to_contain_text("needs the role operator or admin")
        assert await viewer.page.locator("main form button").count() == 0


async def test_the_overview_changes_by_itself_and_says_whether_it_does(site: Site, chromium: Browser) -> None:
    async with person(chromium, site) as viewer:
        page = viewer.page
        await viewer.log_in(await site.gate.key("viewer"))
        await expect(page.locator("#live .state")).to_have_text("Live")
        await expect(page.locator(".needs")).to_have_count(0)
        await site.send_rubbish()
        await expect(page.locator(".needs")).to_contain_text("1 dead letter")
        await page.click("#live button")
        await expect(page.locator("#live .state")).to_have_text("Paused")
        await page.click("#live button")
        await expect(page.locator("#live .state")).to_have_text("Live")


async def test_a_page_whose_hub_does_not_answer_says_so(site: Site, chromium: Browser) -> None:
    async with person(chromium, site) as viewer:
        page = viewer.page
        await viewer.log_in(await site.gate.key("viewer"))
        await expect(page.locator("#live .state")).to_have_text("Live")
        await page.route("**/live", lambda route: route.abort())
        await page.reload()
        await expect(page.locator("#live .state")).to_contain_text("Not live")
        viewer.complaints.clear()  # the browser reports the connection that we cut


async def test_an_ended_session_leads_to_the_login(site: Site, chromium: Browser) -> None:
    async with person(chromium, site) as viewer:
        key = await site.gate.key("viewer")
        await viewer.log_in(key)
        await expect(viewer.page.locator("#live .state")).to_have_text("Live")
        await site.hub.keys.revoke(key.split("_")[1], by="test")
        await viewer.page.wait_for_url("**/login*")
        viewer.complaints.clear()  # a 401 on the way, if the page asked first


async def test_keys_lead_everywhere(site: Site, chromium: Browser) -> None:
    await site.send("DN-1001")
    await site.parked()
    async with person(chromium, site) as viewer:
        page = viewer.page
        await viewer.log_in(await site.gate.key("viewer"))
        for key, room in (("d", "dead-letters"), ("c", "codes"), ("l", "lanes"), ("r", "routes"), ("o", "")):
            await page.keyboard.press("g")
            await page.keyboard.press(key)
            await page.wait_for_url(f"{site.url}/{room}")
        await page.keyboard.press("/")
        await expect(page.locator("#q")).to_be_focused()
        await page.keyboard.type("g d")  # what is typed is text
        assert page.url == f"{site.url}/"
        await page.keyboard.press("Escape")
        await page.keyboard.press("?")
        await expect(page.locator("#help")).to_be_visible()
        await page.keyboard.press("Escape")
        await expect(page.locator("#help")).not_to_be_visible()
        await page.keyboard.press("j")
        await page.keyboard.press("j")
        await page.keyboard.press("k")
        focused = await page.evaluate("document.activeElement.closest('[data-row]') !== null")
        assert focused
        first = await page.evaluate(
            "[...document.querySelectorAll('[data-row]')][0].contains(document.activeElement)"
        )
        assert first
        await page.keyboard.press("Enter")
        await page.wait_for_url("**/adapters#*")


async def test_everything_can_be_read_without_scripts(site: Site, chromium: Browser) -> None:
    position = await site.send("DN-1001")
    await site.parked()
    await site.send_rubbish()
    async with person(chromium, site, java_script_enabled=False) as viewer:
        page = viewer.page
        await viewer.log_in(await site.gate.key("viewer"))
        told = {
            "/": "What needs a person now",
            "/dead-letters": "is not valid JSON",
            "/codes": "X-1",
            "/exceptions": "X-1",
            "/lanes": "DN-1001",
            "/search?q=DN-1001": "Parked",
            f"/events/{position}": "no crosswalk row",
            "/service-levels": "inbound",
            "/adapters": "nordstahl-hook",
            "/routes": "asn-to-erp",
        }
        for address, text in told.items():
            await viewer.go(address)
            await expect(page.locator("main")).to_contain_text(text)
        await page.click(".who summary")
        await page.click("text=Log out")
        await page.wait_for_url("**/login")


async def test_no_page_is_wider_than_the_screen(site: Site, chromium: Browser) -> None:
    await site.send("DN-" + "1" * 60)
    await site.parked()
    await site.send_rubbish()
    letter = (await site.letters(1))[0]
    pages = ["/", "/dead-letters", f"/dead-letters/{letter['id']}", "/codes", "/lanes", "/events/1"]
    pages += ["/exceptions", "/exceptions/1", "/codes/rows"]
    for width in (1280, 390):
        async with person(chromium, site, viewport={"width": width, "height": 844}) as viewer:
            await viewer.log_in(await site.gate.key("viewer"))
            for address in [*pages, "/service-levels", "/adapters", "/routes", "/search?q=DN"]:
                await viewer.go(address)
                over = await viewer.page.evaluate(
                    "document.documentElement.scrollWidth - document.documentElement.clientWidth"
                )
                assert over <= 0, (address, width, over)


async def test_sparklines_are_drawn_and_follow(site: Site, chromium: Browser) -> None:
    async with person(chromium, site) as viewer:
        await viewer.log_in(await site.gate.key("viewer"))
        drawn = viewer.page.locator(".spark[data-drawn] canvas")
        await eventually(lambda: drawn.count())
        assert await drawn.count() == 3
