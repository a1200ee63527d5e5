"""The audit room: who did what, before and after, why, and whether the record is whole."""

from __future__ import annotations

import re

import httpx

from gateway.audit import Entry
from gateway.console.audit import told
from tests.console.site import Site, csrf_of


async def page(visitor: httpx.AsyncClient, address: str) -> str:
    answer = await visitor.get(address)
    assert answer.status_code == 200, (address, answer.text[-500:])
    return answer.text


def entry(**details: object) -> Entry:
    return Entry(id=1, at=1.0, actor="maria", act="x", subject="dead_letter/7", details=dict(details))


async def acted(site: Site) -> None:
    """A row that was proposed, then retired."""
    client = await site.gate.client("admin")
    row = {"domain": "item", "system": "erp", "value": "A", "canonical": "I-1", "status": "draft"}
    made = await client.post("/v1/crosswalks", json={**row, "why": "seen on a drawing"})
    await client.post(f"/v1/crosswalks/{made.json()['id']}/approve", json={"why": "checked"})


async def test_acts_are_listed_with_who_what_before_after_and_why(site: Site) -> None:
    await acted(site)
    shown = await page(await site.visitor("admin"), "/audit")
    for text in ("crosswalk.propose", "seen on a drawing", "<del>draft</del>", "<ins>approved</ins>"):
        assert text in shown, text
    assert '<a href="/codes/rows/1">crosswalk/1</a>' in shown


async def test_acts_are_narrowed_by_who_what_and_whom(site: Site) -> None:
    await acted(site)
    visitor = await site.visitor("admin")
    only = await page(visitor, "/audit?act=crosswalk.approve")
    assert ("checked" in only, "seen on a drawing" in only) == (True, False)
    both = await page(visitor, "/audit?subject=crosswalk/1")
    assert ("checked" in both, "seen on a drawing" in both) == (True, True)
    assert "No act like that" in await page(visitor, "/audit?actor=nobody")


async def test_the_chain_is_verified_and_tampering_is_named(site: Site) -> None:
    await acted(site)
    visitor = await site.visitor("admin")
    assert "The chain is whole" in await page(visitor, "/audit?verify=1")
    await site.hub.journal.write(
        lambda t: t.execute("UPDATE audit SET actor = 'somebody' WHERE act = 'crosswalk.approve'")
    )
    shown = await page(visitor, "/audit?verify=1")
    assert "The chain is whole" not in shown
    assert re.search(r"row \d+ was edited", shown)


async def test_the_audit_is_for_admins_of_everything(site: Site) -> None:
    for roles, bounds in ((("operator",), {}), (("admin",), {"plants": ["aachen"]})):
        visitor = await site.visitor(*roles, **bounds)  # type: ignore[arg-type]
        assert (await visitor.get("/audit")).status_code == 403, roles
        assert 'href="/audit"' not in await page(visitor, "/")
    assert 'href="/audit"' in await page(await site.visitor("admin"), "/")


async def test_acts_are_paged(site: Site) -> None:
    def many(transaction: object) -> None:
        for number in range(230):
            site.hub.audit.record(transaction, "test", "lane.release", f"route/{number}", {})  # type: ignore[arg-type]

    await site.hub.journal.write(many)
    visitor = await site.visitor("admin")
    seen: list[str] = []
    address = "/audit?act=lane.release"
    while address:
        text = await page(visitor, address)
        seen += re.findall(r">route/(\d+)</a>", text)
        found = re.search(r'href="([^"]+)" rel="next"', text)
        address = found[1].replace("&amp;", "&") if found else ""
    assert seen == [str(number) for number in range(229, -1, -1)]


async def test_what_was_written_is_text_and_never_markup(site: Site) -> None:
    visitor = await site.visitor("admin", "operator")
    await site.send_rubbish()
    (letter,) = await site.letters(1)
    token = csrf_of(await page(visitor, "/"))
    bad = "<script>alert(1)</script>"
    await visitor.post(f"/dead-letters/{letter['id']}/discard", data={"csrf": token, "reason": bad})
    shown = await page(visitor, "/audit")
    assert "<script>alert" not in shown
    assert "&lt;script&gt;alert(1)" in shown


def test_details_of_every_kind_are_told_in_parts() -> None:
    edit = told(entry(reason="no lot", edit=3, changes=[{"at": "/lot", "after": "L-1"}]))
    assert (edit.why, edit.rest, edit.address) == ("no lot", [("edit", "3")], "/dead-letters/7")
    assert [(change.at, change.before, change.after) for change in edit.changes] == [("/lot", None, "L-1")]
    moved = told(entry(before={"assignee": "", "status": "open"}, after={"assignee": "x", "status": "open"}))
    assert [(change.at, change.before, change.after) for change in moved.changes] == [("assignee", "", "x")]
    new = told(entry(before=None, after={"value": "A"}, why=""))
    assert [(change.at, change.before) for change in new.changes] == [("value", None)]
    plain = told(entry(adapters=["a"], routes=[]))
    assert (plain.changes, plain.rest) == ([], [("adapters", '["a"]')])
    odd = told(entry(before=1, after=2, changes="many"))
    assert [(change.before, change.after) for change in odd.changes] == [(1, 2)]
    assert odd.rest == [("changes", "many")]
