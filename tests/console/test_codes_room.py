"""Crosswalk rows in the console: proposals with their reason, drafts, approval, history."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import httpx

from tests.console.site import Site, csrf_of, site_of
from tests.waiting import eventually

CODE = "/codes/one?domain=item&system=nordstahl&value=X-1"
FIELDS = {"domain": "item", "system": "nordstahl", "value": "X-1", "plant": ""}


async def page(visitor: httpx.AsyncClient, address: str) -> str:
    answer = await visitor.get(address)
    assert answer.status_code == 200, (address, answer.text[-500:])
    return answer.text


async def settle(visitor: httpx.AsyncClient, **fields: str) -> httpx.Response:
    token = csrf_of(await page(visitor, CODE))
    return await visitor.post("/codes", data={"csrf": token, **FIELDS, **fields})


async def parked(site: Site) -> None:
    await site.send("DN-1001")
    await site.parked()


async def history(site: Site, number: int) -> list[Any]:
    client = await site.gate.client("viewer")
    found: list[Any] = (await client.get(f"/v1/crosswalks/{number}/history")).json()["items"]
    return found


async def test_what_a_code_may_mean_is_offered_with_the_reason(site: Site) -> None:
    client = await site.gate.client("admin")
    row = {"domain": "item", "system": "erp", "value": "X-1", "canonical": "ITEM-9"}
    assert (await client.post("/v1/crosswalks", json=row)).status_code == 201
    await parked(site)
    visitor = await site.visitor("steward")
    shown = await page(visitor, CODE)
    offered = re.search(r'name="pick" value="ITEM-9">.*?<span class="muted">([^<]+)<', shown)
    assert offered is not None
    assert "erp" in offered[1]
    answer = await settle(visitor, pick="ITEM-9", act="approve")
    assert answer.status_code == 303
    await eventually(lambda: site.erp.notes() == ["DN-1001"])


async def test_a_proposal_has_no_effect_until_somebody_approves_it(site: Site) -> None:
    await parked(site)
    author = await site.visitor("steward")
    answer = await settle(author, other="ITEM-1", act="propose", why="the drawing says so")
    address = answer.headers["location"]
    assert re.fullmatch(r"/codes/rows/\d+", address)
    assert site.erp.notes() == []
    for listing in ("/codes", CODE, "/"):
        assert address in await page(author, listing), listing
    other = await site.visitor("admin")
    shown = await page(other, address)
    assert "the drawing says so" in shown
    token = csrf_of(shown)
    approved = await other.post(f"{address}/approve", data={"csrf": token, "why": "checked on the shelf"})
    await eventually(lambda: site.erp.notes() == ["DN-1001"])
    told = await page(other, approved.headers["location"])
    for text in ("1 blocked key goes on now", "Proposed by", "Approved by", "checked on the shelf"):
        assert text in told, text
    steps = await history(site, int(address.rpartition("/")[2]))
    assert [step["act"] for step in steps] == ["propose", "approve"]
    assert steps[0]["actor"] != steps[1]["actor"]
    again = await other.post(f"{address}/approve", data={"csrf": token})
    assert (again.status_code, "only a draft is approved" in again.text) == (409, True)


async def test_a_draft_is_given_up_and_a_row_ended_with_a_reason(site: Site) -> None:
    await parked(site)
    visitor = await site.visitor("steward")
    draft = (await settle(visitor, other="ITEM-1", act="propose")).headers["location"]
    token = csrf_of(await page(visitor, draft))
    unexplained = await visitor.post(f"{draft}/retire", data={"csrf": token, "why": " "})
    assert unexplained.status_code == 422
    await visitor.post(f"{draft}/retire", data={"csrf": token, "why": "a typing error"})
    assert "a typing error" in await page(visitor, draft)
    assert site.erp.notes() == []
    await settle(visitor, other="ITEM-2", act="approve")
    await eventually(lambda: site.erp.notes() == ["DN-1001"])
    row = next(row for row in await site.hub.crosswalks.list(status="approved"))
    address = f"/codes/rows/{row.id}"
    fields = {"csrf": token, "why": "the item was replaced", "never": "yes"}
    assert (await visitor.post(f"{address}/retire", data=fields)).status_code == 303
    assert "never" in await page(visitor, address)
    listed = await page(visitor, "/codes/rows?code=X-1&status=retired")
    assert listed.count('href="/codes/rows/') == 2
    assert "No row like that" in await page(visitor, "/codes/rows?code=unheard-of")


async def test_where_a_second_person_is_needed_the_author_can_only_propose(tmp_path: Path) -> None:
    keeping = {"stewardship": {"item": {"second_person": True}}}
    async with site_of(tmp_path / "data", **keeping) as site:
        await parked(site)
        author = await site.visitor("steward")
        form = await page(author, CODE)
        assert "Approve and deliver" not in form
        assert "need a second person" in form
        tried = await settle(author, other="ITEM-1", act="approve")
        assert (tried.status_code, "second person" in tried.text) == (403, True)
        draft = (await settle(author, other="ITEM-1", act="propose")).headers["location"]
        own = await page(author, draft)
        assert f'action="{draft}/approve"' not in own
        refused = await author.post(f"{draft}/approve", data={"csrf": csrf_of(own)})
        assert (refused.status_code, "second person" in refused.text) == (403, True)
        other = await site.visitor("admin")
        await other.post(f"{draft}/approve", data={"csrf": csrf_of(await page(other, draft))})
        await eventually(lambda: site.erp.notes() == ["DN-1001"])


async def test_rows_of_other_plants_are_neither_seen_nor_written(site: Site) -> None:
    client = await site.gate.client("admin")
    row = {"domain": "item", "system": "erp", "value": "A", "canonical": "ITEM-A", "plant": "aachen"}
    number = (await client.post("/v1/crosswalks", json={**row, "status": "draft"})).json()["id"]
    whole = (await client.post("/v1/crosswalks", json={**row, "value": "B", "plant": None})).json()["id"]
    elsewhere = await site.visitor("steward", plants=["brno"])
    listed = await page(elsewhere, "/codes/rows")
    assert f"/codes/rows/{number}" not in listed
    assert (await elsewhere.get(f"/codes/rows/{number}")).status_code == 403
    shown = await page(elsewhere, f"/codes/rows/{whole}")
    assert f"/codes/rows/{whole}/retire" not in shown
    for address in (f"/codes/rows/{number}/approve", f"/codes/rows/{whole}/retire"):
        answer = await elsewhere.post(address, data={"csrf": csrf_of(shown), "why": "x"})
        assert answer.status_code == 403, address
    acts = (await client.get("/v1/audit?act=crosswalk.refused")).json()["items"]
    assert acts


async def test_rows_are_paged(site: Site) -> None:
    client = await site.gate.client("admin")
    for number in range(105):
        row = {"domain": "item", "system": "erp", "value": f"V{number}", "canonical": f"C{number}"}
        assert (await client.post("/v1/crosswalks", json=row)).status_code == 201
    visitor = await site.visitor("viewer")
    first = await page(visitor, "/codes/rows")
    found = re.search(r'<a href="([^"]+)" rel="next"', first)
    assert found is not None
    second = await page(visitor, found[1].replace("&amp;", "&"))
    assert (first.count('<a href="/codes/rows/'), second.count('<a href="/codes/rows/')) == (100, 5)
