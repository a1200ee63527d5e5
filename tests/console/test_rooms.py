"""What the rooms show and do, by plain requests: everything here works without scripts."""

from __future__ import annotations

import re
from html import unescape

import httpx
import pytest

from gateway import audit
from tests.console.site import REFUSED, Site, csrf_of
from tests.gateway.hubs import event, order_data
from tests.waiting import eventually

CODE = "/codes/one?domain=item&system=nordstahl&value=X-1"


async def page(visitor: httpx.AsyncClient, address: str) -> str:
    answer = await visitor.get(address)
    assert answer.status_code == 200, (address, answer.text[-500:])
    return answer.text


async def test_a_parked_asn_is_found_by_its_number_and_delivered_once_its_code_is_known(site: Site) -> None:
    position = await site.send("DN-1001")
    await site.parked()
    visitor = await site.visitor("steward")
    found = await page(visitor, "/search?q=DN-1001")
    assert "Parked" in found
    assert "no crosswalk row for item" in found
    assert CODE.replace("&", "&amp;") in found
    form = await page(visitor, CODE)
    assert "What is X-1 in our own codes?" in form
    fields = {"csrf": csrf_of(form), "domain": "item", "system": "nordstahl", "value": "X-1"}
    answer = await visitor.post("/codes", data={**fields, "other": "ITEM-1", "plant": "aachen"})
    assert answer.status_code == 303
    settled = answer.headers["location"]

    async def delivered() -> bool:
        return "All 1 that waited are delivered" in await page(visitor, settled)

    await eventually(delivered)
    assert site.erp.notes() == ["DN-1001"]
    way = await page(visitor, f"/events/{position}")
    assert "Delivered" in way
    assert "receipt 500001" in way
    assert "ITEM-1" in way
    rows = (await (await site.gate.client("viewer")).get("/v1/crosswalks")).json()["items"]
    assert [(row["value"], row["canonical"], row["plant"]) for row in rows] == [("X-1", "ITEM-1", "aachen")]
    assert rows[0]["approved_by"].startswith("test ")


async def test_a_code_that_has_another_meaning_already_is_told_in_words(site: Site) -> None:
    await site.send("DN-1001")
    await site.parked()
    visitor = await site.visitor("steward")
    fields = {
        "csrf": csrf_of(await page(visitor, CODE)),
        "domain": "item",
        "system": "nordstahl",
        "value": "X-1",
    }
    answer = await visitor.post("/codes", data={**fields, "other": " ", "plant": ""})
    assert answer.status_code == 422
    assert "Choose or write the code that belongs to X-1" in answer.text
    answer = await visitor.post("/codes", data={**fields, "other": "ITEM-1", "plant": "nowhere"})
    assert answer.status_code == 422
    assert "no plant of this deployment" in answer.text


async def test_a_refused_delivery_is_retried_when_it_is_mended(site: Site) -> None:
    await site.known()
    await site.send(REFUSED)
    letter = (await site.letters(1))[0]
    visitor = await site.visitor("operator")
    overview = await page(visitor, "/")
    assert "erp refused the document (HTTP 422)" in overview
    shown = await page(visitor, f"/dead-letters/{letter['id']}")
    assert "the delivery is closed" in shown
    assert "What most likely helps:" in shown
    site.erp.refuses = False
    answer = await visitor.post(f"/dead-letters/{letter['id']}/retry", data={"csrf": csrf_of(shown)})
    assert answer.status_code == 303

    async def recovered() -> bool:
        return "recovered" in await page(visitor, f"/dead-letters/{letter['id']}")

    await eventually(recovered)
    assert site.erp.notes() == [REFUSED]
    acts = (await (await site.gate.client("admin")).get("/v1/audit?act=dead_letter.retry")).json()["items"]
    assert acts[0]["actor"].startswith("test ")


async def test_discarding_needs_a_reason_which_is_kept(site: Site) -> None:
    await site.send_rubbish()
    letter = (await site.letters(1))[0]
    visitor = await site.visitor("operator")
    address = f"/dead-letters/{letter['id']}"
    token = csrf_of(await page(visitor, address))
    answer = await visitor.post(f"{address}/discard", data={"csrf": token, "reason": "  "})
    assert answer.status_code == 422
    await visitor.post(f"{address}/discard", data={"csrf": token, "reason": "sent again as DN-2"})
    shown = await page(visitor, address)
    assert "discarded" in shown
    assert "sent again as DN-2" in shown
    again = await visitor.post(f"{address}/retry", data={"csrf": token})
    assert again.status_code == 409
    assert "only an open one can be acted on" in again.text


async def test_a_group_is_settled_at_once(site: Site) -> None:
    await site.send_rubbish()
    client = await site.gate.client()
    await client.post(
        "/v1/webhooks/nordstahl-hook",
        content=b'{"asn": "DN-CU2',
        headers={
            "Authorization": "Bearer a-hook-secret-of-the-tests",
            "Content-Type": "application/json",
        },
    )
    letters = await site.letters(2)
    group = letters[0]["fingerprint"]
    visitor = await site.visitor("operator")
    listed = await page(visitor, f"/dead-letters?group={group}")
    assert "Retry all 2" in listed
    asked = {"csrf": csrf_of(listed), "rate": "50"}
    answer = await visitor.post(f"/dead-letters/groups/{group}/retry", data=asked)

    async def failed_anew() -> bool:
        return "2 of 2 ended" in await page(visitor, answer.headers["location"])

    await eventually(failed_anew)
    assert "failed anew" in await page(visitor, answer.headers["location"])
    assert len(await site.letters(2)) == 2  # they are as wrong as before
    data = {"csrf": csrf_of(listed), "reason": "rubbish"}
    answer = await visitor.post(f"/dead-letters/groups/{group}/discard", data=data)
    assert "2 discarded" in await page(visitor, answer.headers["location"])
    assert "Nothing is open." in await page(visitor, "/dead-letters")


async def test_a_viewer_sees_why_there_is_nothing_to_press(site: Site) -> None:
    await site.known("X-2")
    await site.send(REFUSED, "X-2")
    await site.send("DN-1001")
    await site.parked()
    letter = (await site.letters(1))[0]
    visitor = await site.visitor("viewer")
    for address in (f"/dead-letters/{letter['id']}", CODE, f"/dead-letters?group={letter['fingerprint']}"):
        shown = await page(visitor, address)
        assert "this needs the role" in shown.lower(), address
        assert not re.search(r'action="/(dead-letters|codes|lanes)', shown), address
    token = csrf_of(await page(visitor, "/"))
    for address in (f"/dead-letters/{letter['id']}/retry", "/codes", "/lanes/release"):
        answer = await visitor.post(address, data={"csrf": token, "route": "asn-to-erp", "key": "x"})
        assert answer.status_code == 403, address
        assert "your key" in answer.text
    assert site.erp.notes() == []


async def test_a_key_for_one_plant_sees_nothing_of_the_others(site: Site) -> None:
    await site.send("DN-1001")
    await site.parked()
    await site.send_rubbish()
    letter = (await site.letters(1))[0]
    visitor = await site.visitor("admin", plants=["brno"])
    overview = await page(visitor, "/")
    assert "Brno" in overview
    assert "Aachen" not in overview
    assert "nordstahl-hook" not in overview
    assert "erp" not in re.sub(r"<[^>]*>|Enterprise|enterprise", "", overview).lower().split()
    assert "Nothing is known under" in await page(visitor, "/search?q=DN-1001")
    assert "None." in await page(visitor, "/codes")
    assert "Nothing is blocked." in await page(visitor, "/lanes")
    assert "Nothing is open." in await page(visitor, "/dead-letters")
    assert (await visitor.get("/events/1")).status_code == 403
    assert (await visitor.get("/events/1/raw")).status_code == 403
    assert (await visitor.get(f"/dead-letters/{letter['id']}")).status_code == 403
    assert (await visitor.get(f"/dead-letters/{letter['id']}/raw")).status_code == 403
    token = csrf_of(overview)
    answer = await visitor.post(f"/dead-letters/{letter['id']}/discard", data={"csrf": token, "reason": "x"})
    assert answer.status_code == 403


async def test_a_key_for_one_domain_sees_nothing_of_the_others(site: Site) -> None:
    await site.send("DN-1001")
    await site.parked()
    visitor = await site.visitor("admin", domains=["quality"])
    assert "Nothing is known under" in await page(visitor, "/search?q=DN-1001")
    assert "None." in await page(visitor, "/codes")
    assert "Nothing is blocked." in await page(visitor, "/lanes")
    assert (await visitor.get("/events/1")).status_code == 403


async def test_what_senders_write_is_text_and_never_markup(site: Site) -> None:
    bad = "<script>alert(1)</script>\"'><img src=x>"
    (position,) = await site.gate.record(event(1, subject=bad, id=bad, data=order_data(bad)))
    visitor = await site.visitor("viewer")
    for address in (f"/events/{position}", f"/search?q={httpx.QueryParams({'q': bad})['q']}"):
        shown = (await visitor.get(address)).text
        assert "<script>alert" not in shown
        assert "<img src=x" not in shown
    assert "&lt;script&gt;alert(1)" in (await visitor.get(f"/events/{position}")).text


async def test_bytes_are_downloaded_and_never_shown_as_a_page(site: Site) -> None:
    position = await site.send("DN-1001")
    visitor = await site.visitor("viewer")
    answer = await visitor.get(f"/events/{position}/raw")
    assert answer.headers["content-type"] == "application/octet-stream"
    assert answer.headers["content-disposition"].startswith("attachment")
    assert answer.json()["asn"] == "DN-1001"


async def test_a_timeline_shows_bytes_fields_codes_and_where_it_went(site: Site) -> None:
    await site.known()
    position = await site.send("DN-1001")
    await eventually(lambda: site.erp.notes() == ["DN-1001"])
    visitor = await site.visitor("viewer")

    async def delivered() -> bool:
        return "Delivered" in await page(visitor, f"/events/{position}")

    await eventually(delivered)
    shown = await page(visitor, f"/events/{position}")
    for text in ("ASN received", "nordstahl-hook", "&#34;asn&#34;", "lines.0.item", "means", "ITEM-1"):
        assert text in shown, text
    assert "route asn-to-erp" in shown
    assert "receipt 500001" in shown
    assert "CET" in shown or "CEST" in shown


async def test_a_blocked_lane_is_let_go(site: Site) -> None:
    await site.send("DN-1001")
    await site.parked()
    visitor = await site.visitor("operator")
    lanes = await page(visitor, "/lanes")
    assert "DN-1001" in lanes
    (within,) = re.findall(r'href="(/lanes/waiting[^"]*)"', lanes)
    inside = await page(visitor, unescape(within))
    assert "What waits with D:asn:DN-1001 on asn-to-erp" in inside
    assert inside.count("<tr data-row>") == 1
    data = {"csrf": csrf_of(lanes), "route": "asn-to-erp", "key": "D:asn:DN-1001"}
    for reason in ("", "the steward is on it"):
        answer = await visitor.post("/lanes/release", data={**data, "reason": reason})
        assert answer.status_code == 303, answer.text
    second, first = await audit.page(site.hub.journal, act="lane.release")
    assert ("reason" in first.details, second.details["reason"]) == (False, "the steward is on it")
    long = await visitor.post("/lanes/release", data={**data, "reason": "x" * 2001})
    assert (long.status_code, "more than 2000 characters" in long.text) == (422, True)
    free = await visitor.get("/lanes/waiting?route=asn-to-erp&key=none")
    assert free.status_code == 404
    gone = await visitor.post("/lanes/release", data={**data, "key": "no such key"})
    assert gone.status_code == 404
    assert "is blocked on route" in gone.text


async def test_rooms_without_anything_say_what_would_fill_them(site: Site) -> None:
    visitor = await site.visitor("viewer")
    for address in ("/dead-letters", "/exceptions", "/codes", "/lanes", "/search", "/search?q=unheard-of"):
        assert 'class="empty"' in await page(visitor, address), address
    assert "What needs a person now" in await page(visitor, "/")


async def test_what_is_not_there_is_a_page_that_says_so(site: Site) -> None:
    visitor = await site.visitor("viewer")
    for address in ("/events/999999", "/dead-letters/999", "/events/0", "/events/x"):
        answer = await visitor.get(address)
        assert answer.status_code in {404, 422}, address
        assert answer.headers["content-type"].startswith("text/html")
    assert (await visitor.get("/static/../pages.py")).status_code == 404


async def test_colours_can_be_chosen_and_are_kept(site: Site) -> None:
    visitor = await site.visitor("viewer")
    shown = await page(visitor, "/lanes")
    assert "data-theme" not in shown
    fields = {"csrf": csrf_of(shown), "theme": "dark", "next": "/lanes"}
    answer = await visitor.post("/theme", data=fields)
    assert answer.headers["location"] == "/lanes"
    assert 'data-theme="dark"' in await page(visitor, "/lanes")
    await visitor.post("/theme", data={**fields, "theme": ""})
    assert "data-theme" not in await page(visitor, "/lanes")


async def test_a_service_level_is_shown_with_its_budget(site: Site) -> None:
    await site.known()
    await site.send("DN-1001")
    await eventually(lambda: site.erp.notes() == ["DN-1001"])
    visitor = await site.visitor("viewer")

    async def judged() -> bool:
        return "kept" in await page(visitor, "/service-levels")

    await eventually(judged)
    shown = await page(visitor, "/service-levels")
    assert "inbound" in shown
    assert "asn-to-erp" in shown
    assert "100% of budget left" in await page(visitor, "/")


async def test_a_page_comes_although_the_journal_hangs(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    visitor = await site.visitor("viewer")

    async def hangs(*_: object, **__: object) -> None:
        raise TimeoutError

    monkeypatch.setattr("gateway.sla.report", hangs)
    assert "The journal did not answer in time" in await page(visitor, "/service-levels")
    assert "Aachen" in await page(visitor, "/")
