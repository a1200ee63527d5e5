"""The room of exceptions: whose a task is, until when, what was done, and the way to what mends it."""

from __future__ import annotations

import re

import httpx

from canonical.ports import Transaction
from gateway.exceptions import Task
from gateway.exceptions.tasks import put
from tests.console.site import REFUSED, Site, csrf_of
from tests.waiting import eventually


async def page(visitor: httpx.AsyncClient, address: str) -> str:
    answer = await visitor.get(address)
    assert answer.status_code == 200, (address, answer.text[-500:])
    return answer.text


async def tasks(site: Site, many: int) -> list[Task]:
    """The open ones, once there are so many."""

    async def opened() -> list[Task]:
        found = await site.hub.exceptions.page({})
        return found if len(found) >= many else []

    found: list[Task] = await eventually(opened)
    return found


async def two_kinds(site: Site) -> tuple[Task, Task]:
    """(business: an unknown code, technical: a map that does not fit)."""
    await site.send("DN-1001")
    await site.parked()
    await site.known("X-2")
    await site.send_unmapped("DN-7", item="X-2")
    found = await tasks(site, 2)
    business = next(task for task in found if task.kind == "business")
    return business, next(task for task in found if task.kind == "technical")


def titles(text: str) -> list[str]:
    return re.findall(r'<a href="/exceptions/(\d+)">', text)


async def test_business_and_technical_stand_apart_with_queue_due_time_and_priority(site: Site) -> None:
    business, technical = await two_kinds(site)
    shown = await page(await site.visitor("viewer"), "/exceptions")
    before, _, after = shown.partition('id="technical-title"')
    assert (titles(before), titles(after)) == ([str(business.id)], [str(technical.id)])
    assert "engineering" in before  # items are theirs where the route has no owner
    assert "quality" in after
    assert "none overdue" in shown
    assert "in 8 h" in before or "in 7 h" in before


async def test_lists_are_narrowed_by_queue_owner_and_kind(site: Site) -> None:
    business, technical = await two_kinds(site)
    visitor = await site.visitor("operator")
    assert titles(await page(visitor, "/exceptions?queue=quality")) == [str(technical.id)]
    assert titles(await page(visitor, "/exceptions?kind=business")) == [str(business.id)]
    assert titles(await page(visitor, "/exceptions?plant=brno")) == []
    assert "None of these." in await page(visitor, "/exceptions?plant=brno")
    assert titles(await page(visitor, "/exceptions?whose=mine")) == []
    token = csrf_of(await page(visitor, f"/exceptions/{technical.id}"))
    taken = await visitor.post(f"/exceptions/{technical.id}/assign", data={"csrf": token, "act": "mine"})
    assert taken.status_code == 303
    assert titles(await page(visitor, "/exceptions?whose=mine")) == [str(technical.id)]
    assert titles(await page(visitor, "/exceptions?whose=nobody")) == [str(business.id)]


async def test_a_task_is_taken_on_handed_over_commented_and_resolved(site: Site) -> None:
    _, task = await two_kinds(site)
    visitor = await site.visitor("operator")
    address = f"/exceptions/{task.id}"
    token = csrf_of(await page(visitor, address))

    async def does(what: str, **fields: str) -> httpx.Response:
        return await visitor.post(f"{address}/{what}", data={"csrf": token, **fields})

    assert (await does("assign", act="hand", to="night shift")).status_code == 303
    assert (await does("comment", text="The supplier looks for the lot")).status_code == 303
    assert (await does("assign", act="back")).status_code == 303
    assert (await does("assign", act="hand", to=" ")).status_code == 422
    assert (await does("comment", text=" ")).status_code == 422
    assert (await does("resolve", resolution="")).status_code == 422
    assert (await does("resolve", resolution="posted by hand")).status_code == 303
    shown = await page(visitor, address)
    for text in ("night shift", "The supplier looks for the lot", "given back", "posted by hand", "resolved"):
        assert text in shown, text
    again = await does("resolve", resolution="twice")
    assert (again.status_code, "resolved already" in again.text) == (409, True)
    assert str(task.id) in titles(await page(visitor, "/exceptions?status=all"))
    acts = (await (await site.gate.client("admin")).get(f"/v1/audit?subject=exception/{task.id}")).json()
    assert [act["act"] for act in acts["items"]] == [
        "exception.resolve",
        "exception.assign",
        "exception.comment",
        "exception.assign",
    ]


async def test_a_task_leads_to_what_mends_it(site: Site) -> None:
    business, technical = await two_kinds(site)
    visitor = await site.visitor("viewer")
    code = await page(visitor, f"/exceptions/{business.id}")
    mended = await page(visitor, f"/exceptions/{technical.id}")
    assert "/codes/one?domain=item&amp;system=nordstahl&amp;value=X-1" in code
    assert f"/dead-letters?group={technical.refs['fingerprint']}" in mended
    for text in (code, mended):
        links = re.findall(r'href="(/(?:codes|dead-letters|lanes|routes|events)[^"]*)"', text)
        assert any(link.startswith("/events/") for link in links)
        for link in links:
            answer = await visitor.get(link.replace("&amp;", "&"))
            assert answer.status_code == 200, link


async def test_the_overview_says_who_takes_care_and_leads_there(site: Site) -> None:
    business, _ = await two_kinds(site)
    visitor = await site.visitor("steward")
    overview = await page(visitor, "/")
    assert f'href="/exceptions/{business.id}"' in overview
    assert "nobody has taken it on" in overview
    await site.hub.exceptions.assign(business.id, "maria", by="test")
    assert "maria takes care of it" in await page(visitor, "/")


async def test_an_edit_that_waits_stands_on_the_overview(site: Site) -> None:
    await two_kinds(site)
    (letter,) = await site.letters(1)
    data = letter["event"]["data"]
    data["lines"][0]["lot"] = "L-1"
    body = {"data": data, "reason": "the supplier named it"}
    operator = await site.gate.client("operator")
    await operator.post(f"/v1/dead-letters/{letter['id']}/edit", json=body)
    overview = await page(await site.visitor("approver"), "/")
    assert f"An edit of dead letter {letter['id']} waits for a second person" in overview
    elsewhere = await page(await site.visitor("approver", plants=["brno"]), "/")
    assert "waits for a second person" not in elsewhere


async def test_it_closes_by_itself_once_its_cause_is_gone(site: Site) -> None:
    await site.known()
    await site.send(REFUSED)
    (task,) = await tasks(site, 1)
    site.erp.refuses = False
    (letter,) = await site.letters(1)
    await site.hub.dead_letters.retry(letter["id"], by="test")
    visitor = await site.visitor("viewer")

    async def closed() -> bool:
        await site.hub.exceptions.look()
        return "resolved" in await page(visitor, f"/exceptions/{task.id}")

    await eventually(closed)
    assert "no dead letter of this group is open any more" in await page(visitor, f"/exceptions/{task.id}")
    assert titles(await page(visitor, "/exceptions")) == []


async def test_a_viewer_acts_on_nothing_and_other_plants_are_not_seen(site: Site) -> None:
    business, _ = await two_kinds(site)
    viewer = await site.visitor("viewer")
    shown = await page(viewer, f"/exceptions/{business.id}")
    assert "needs the role" in shown
    assert "/assign" not in shown
    token = csrf_of(shown)
    for act in ("assign", "comment", "resolve"):
        answer = await viewer.post(f"/exceptions/{business.id}/{act}", data={"csrf": token, "act": "mine"})
        assert answer.status_code == 403, act
    elsewhere = await site.visitor("operator", plants=["brno"])
    assert titles(await page(elsewhere, "/exceptions")) == []
    assert (await elsewhere.get(f"/exceptions/{business.id}")).status_code == 403
    assert (await elsewhere.get("/exceptions/999")).status_code == 404
    assert (await elsewhere.get("/exceptions?kind=business&after=rubbish")).status_code == 422


async def test_less_urgent_ones_are_on_further_pages(site: Site) -> None:
    def many(transaction: Transaction) -> None:
        for number in range(120):
            put(
                transaction,
                Task(
                    cause=f"c{number}",
                    kind="business",
                    title="t",
                    queue="q",
                    priority=1 + number % 3,
                    opened_at=1.0,
                    last_at=1.0,
                    due_at=float(number),
                    told=1,
                ),
            )

    await site.hub.journal.write(many)
    visitor = await site.visitor("viewer")
    seen: list[str] = []
    address = "/exceptions"
    while address:
        text = await page(visitor, address)
        seen += titles(text)
        found = re.search(r'<a href="([^"]+)" rel="next"', text)
        address = found[1].replace("&amp;", "&") if found else ""
    assert len(seen) == len(set(seen)) == 120
    assert "120 overdue" in await page(visitor, "/exceptions")
