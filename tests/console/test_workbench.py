"""The workbench by plain requests: dry runs, edits by two people, retries with progress, pages."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

from canonical.errors import Rejected
from canonical.expression import FieldMap
from canonical.ports import Accepted, Delivery, Failed, SinkOutcome
from gateway import audit
from gateway.console import editing
from tests.console.site import Site, csrf_of
from tests.gateway.hubs import event, order_data
from tests.gateway.test_exceptions import letters
from tests.router.rig import ScriptedSink, route
from tests.waiting import eventually


async def page(visitor: httpx.AsyncClient, address: str) -> str:
    answer = await visitor.get(address)
    assert answer.status_code == 200, (address, answer.text[-500:])
    return answer.text


class Target:
    """A route's sink that refuses everything until it is told not to."""

    def __init__(self) -> None:
        self.open = False
        self.sink = ScriptedSink(self._answer)

    def _answer(self, delivery: Delivery) -> SinkOutcome:
        return Accepted("ok") if self.open else Failed(Rejected("not now"))


async def unmapped(site: Site, *orders: str) -> tuple[Target, list[int]]:
    """Dead letters of a route whose map needs a sales order that the events lack."""
    target = Target()
    target.open = True
    await site.gate.route(route(fields=FieldMap({"for": "data.sales_order"})), target.sink)
    await site.gate.record(*(event(n, data=order_data(order)) for n, order in enumerate(orders, 1)))
    found = await site.letters(len(orders))
    return target, sorted(letter["id"] for letter in found)


async def edited(visitor: httpx.AsyncClient, number: int, act: str, **fields: str) -> httpx.Response:
    token = csrf_of(await page(visitor, f"/dead-letters/{number}"))
    return await visitor.post(f"/dead-letters/{number}/edit", data={"csrf": token, "act": act, **fields})


async def test_a_dry_run_counts_what_would_come_of_a_group_and_changes_nothing(site: Site) -> None:
    target, numbers = await unmapped(site, "O-1", "O-2")
    visitor = await site.visitor("viewer")
    group = (await site.letters(2))[0]["fingerprint"]
    shown = await page(visitor, f"/dead-letters/groups/{group}/dry-run")
    for text in ("What would come of 2", "would fail again", "for: ", "Nothing was delivered or changed"):
        assert text in shown, text
    assert "would fail again" in await page(visitor, f"/dead-letters/{numbers[0]}/dry-run")
    operator = await site.visitor("operator")
    for address in (f"groups/{group}", str(numbers[0])):  # a retry from here is asked why, too
        assert 'id="retry-reason" name="reason"' in await page(operator, f"/dead-letters/{address}/dry-run")
    assert target.sink.calls == []
    assert {letter["status"] for letter in await site.letters(2)} == {"open"}


async def test_an_edit_is_checked_proposed_and_approved_by_somebody_else(site: Site) -> None:
    target, (number,) = await unmapped(site, "O-1")
    author = await site.visitor("operator", "approver")
    form = await page(author, f"/dead-letters/{number}/edit")
    assert "&#34;order&#34;: &#34;O-1&#34;" in form
    mended = json.dumps(order_data("O-1", sales_order="S-7"), indent=2)
    checked = await edited(author, number, "check", content=mended)
    for text in ("/sales_order", "not there", "S-7", "would be delivered"):
        assert text in checked.text, text
    assert await site.hub.edits.of(number) == []
    unexplained = await edited(author, number, "propose", content=mended)
    assert (unexplained.status_code, "Say why" in unexplained.text) == (422, True)
    reason = "the planner forgot the sales order"
    assert (await edited(author, number, "propose", content=mended, reason=reason)).status_code == 303
    (edit,) = await site.hub.edits.of(number)
    approve = f"/dead-letters/{number}/edits/{edit.id}/approve"

    own = await page(author, f"/dead-letters/{number}")
    assert "another person with the role approver has to approve it" in own
    assert approve not in own
    refused = await author.post(approve, data={"csrf": csrf_of(own)})
    assert (refused.status_code, "another person has to approve it" in refused.text) == (403, True)
    assert target.sink.accepted == []

    second = await site.visitor("approver")
    assert reason in await page(second, "/dead-letters")
    shown = await page(second, f"/dead-letters/{number}")
    for text in (reason, edit.author, "/sales_order", "S-7", "would be delivered", "Approve and retry"):
        assert text in shown, text
    assert (await second.post(approve, data={"csrf": csrf_of(shown)})).status_code == 303
    await eventually(lambda: len(target.sink.accepted) == 1)

    async def recovered() -> bool:
        return "recovered" in await page(second, f"/dead-letters/{number}")

    await eventually(recovered)
    ended = await page(second, f"/dead-letters/{number}")
    assert "Approved" in ended
    assert reason in ended
    assert reason not in await page(second, "/dead-letters")


async def test_an_edit_that_breaks_the_schema_is_refused_with_pointers(site: Site) -> None:
    _, (number,) = await unmapped(site, "O-1")
    operator = await site.visitor("operator")
    wrong = json.dumps(order_data("O-1", quantity={"value": "many", "uom": "H87"}))
    answer = await edited(operator, number, "propose", content=wrong, reason="x")
    assert answer.status_code == 422
    assert "/data/quantity/value" in answer.text
    assert "many" in answer.text  # what was written is not lost
    broken = await edited(operator, number, "check", content="{no JSON")
    assert "It would be refused again" in broken.text
    same = await edited(operator, number, "propose", content=json.dumps(order_data("O-1")), reason="x")
    assert (same.status_code, "Nothing was changed" in same.text) == (422, True)
    assert await site.hub.edits.of(number) == []


async def test_an_edit_can_be_given_up(site: Site) -> None:
    _, (number,) = await unmapped(site, "O-1")
    operator = await site.visitor("operator")
    mended = json.dumps(order_data("O-1", sales_order="S-7"))
    await edited(operator, number, "propose", content=mended, reason="x")
    (edit,) = await site.hub.edits.of(number)
    token = csrf_of(await page(operator, f"/dead-letters/{number}"))
    await operator.post(f"/dead-letters/{number}/edits/{edit.id}/withdraw", data={"csrf": token})
    shown = await page(operator, f"/dead-letters/{number}")
    assert "Given up" in shown
    assert f"/dead-letters/{number}/edit" in shown
    other = await operator.post(f"/dead-letters/999/edits/{edit.id}/withdraw", data={"csrf": token})
    assert other.status_code == 404


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
async def test_what_a_browser_makes_of_line_ends_is_undone(site: Site, end: str) -> None:
    body = f"one{end}two{end}"
    await letters(site.gate, 1, adapter="nordstahl-hook", body=body.encode())
    letter = await site.hub.dead_letters.show(1)
    form = await page(await site.visitor("operator"), "/dead-letters/1/edit")
    assert "one\ntwo" in form.replace(end, "\n")
    assert editing._content(letter, "one\r\n2\r\n") == f"one{end}2{end}".encode()


@pytest.mark.parametrize("body", [b"\xff\xfe", b"a\nb\r\nc", b"x" * 40_000, b"a\x00b"])
async def test_what_no_form_can_hold_is_left_to_the_command(site: Site, body: bytes) -> None:
    await letters(site.gate, 1, adapter="nordstahl-hook", body=body)
    visitor = await site.visitor("operator")
    shown = await page(visitor, "/dead-letters/1/edit")
    assert "crossplant dead-letters edit 1 FILE" in shown
    assert "<textarea" not in shown
    answer = await edited(visitor, 1, "propose", content="other", reason="x")
    assert answer.status_code == 422


async def test_a_group_is_retried_at_a_rate_stopped_and_resumed(site: Site) -> None:
    target = Target()
    await site.gate.route(route(), target.sink)
    await site.gate.record(*(event(number) for number in range(1, 31)))
    found = await site.letters(30)
    group = found[0]["fingerprint"]
    visitor = await site.visitor("operator")
    listed = await page(visitor, f"/dead-letters?group={group}")
    assert "Retry all 30" in listed
    target.open = True
    asked = {"csrf": csrf_of(listed), "rate": "4", "reason": "the target is up again"}
    begun = await visitor.post(f"/dead-letters/groups/{group}/retry", data=asked)
    address = begun.headers["location"]
    assert (begun.status_code, address) == (303, "/dead-letters/retries/1")
    (act,) = await audit.page(site.hub.journal, act="retry.begin")
    assert act.details["reason"] == "the target is up again"
    meanwhile = await page(visitor, f"/dead-letters?group={group}")
    assert "of this group is running" in meanwhile
    assert f'action="/dead-letters/groups/{group}/retry"' not in meanwhile
    second = await visitor.post(f"/dead-letters/groups/{group}/retry", data=asked)
    assert (second.status_code, "in each other" in second.text) == (409, True)
    assert 'id="stop-reason"' in await page(visitor, address)
    slow = {**asked, "reason": "the target is slow"}
    assert (await visitor.post(f"{address}/stop", data=slow)).status_code == 303
    (act,) = await audit.page(site.hub.journal, act="retry.stopped")
    assert act.details["reason"] == "the target is slow"
    stopped = await page(visitor, address)
    assert "stopped" in stopped
    assert "Go on with the other" in stopped
    assert 'id="resume-reason"' in stopped
    assert "retries/1" in await page(visitor, "/dead-letters")
    assert "of this group is stopped" in await page(visitor, f"/dead-letters?group={group}")
    tried = len(target.sink.accepted)
    assert tried < 30
    await site.gate.record(event(100, data=order_data("O-100", item="refused")))
    await site.hub.journal.write(lambda t: t.execute("UPDATE retries SET rate = 1000"))
    await visitor.post(f"{address}/resume", data=asked)
    (act,) = await audit.page(site.hub.journal, act="retry.running")
    assert act.details["reason"] == "the target is up again"

    async def ended() -> bool:
        shown = await page(visitor, address)
        return "30 of 30 ended" in shown and (await site.hub.retries.show(1)).state == "done"

    await eventually(ended)
    assert "Retry 1" in await page(visitor, "/dead-letters/retries")
    for rate in ("0", "x", "1e9", "nan", ""):
        answer = await visitor.post(f"/dead-letters/groups/{group}/retry", data={**asked, "rate": rate})
        assert answer.status_code == 422, rate
    nothing = await visitor.post(f"/dead-letters/groups/{group}/retry", data=asked)
    assert (nothing.status_code, "no open dead letter is among them" in nothing.text) == (409, True)


async def test_why_one_was_retried_is_asked_and_may_stay_unsaid(site: Site) -> None:
    _, (number,) = await unmapped(site, "O-1")
    visitor = await site.visitor("operator")
    shown = await page(visitor, f"/dead-letters/{number}")
    assert "Try it again, because (may stay empty)" in shown
    for reason in ("the map was mended", ""):
        answer = await visitor.post(
            f"/dead-letters/{number}/retry", data={"csrf": csrf_of(shown), "reason": reason}
        )
        assert answer.status_code == 303
        await site.letters(1)  # it fails again
    second, first = await audit.page(site.hub.journal, act="dead_letter.retry")
    assert (first.details["reason"], "reason" in second.details) == ("the map was mended", False)


async def test_others_retries_are_not_for_keys_of_one_plant(site: Site) -> None:
    await letters(site.gate, *range(3), adapter="gone")
    visitor = await site.visitor("operator")
    listed = await page(visitor, "/dead-letters?status=open")
    group = (await site.letters(3))[0]["fingerprint"]
    await visitor.post(f"/dead-letters/groups/{group}/retry", data={"csrf": csrf_of(listed), "rate": "9"})
    limited = await site.visitor("operator", plants=["aachen"])
    assert (await limited.get("/dead-letters/retries/1")).status_code == 403
    assert "None yet" in await page(limited, "/dead-letters/retries")


async def test_letters_are_paged(site: Site) -> None:
    await letters(site.gate, *range(120))
    visitor = await site.visitor("viewer")
    seen: list[str] = []
    address: str = "/dead-letters"
    while address:
        text = await page(visitor, address)
        seen += _ids(text)
        address = _older(text)
    assert seen == [str(number) for number in range(120, 0, -1)]


def _ids(text: str) -> list[Any]:
    return [part.partition('"')[0] for part in text.split('<td class="what"><a href="/dead-letters/')[1:]]


def _older(text: str) -> str:
    before, found, _ = text.partition('" rel="next"')
    return before.rpartition('href="')[2].replace("&amp;", "&") if found else ""


async def test_the_failed_step_of_a_map_is_shown(site: Site) -> None:
    await site.known()
    await site.send_unmapped("DN-7")
    (letter,) = await site.letters(1)
    shown = await page(await site.visitor("viewer"), f"/dead-letters/{letter['id']}")
    for text in ("The step that failed", "data.lines[0].lot", "fails", "The event has no “lot”"):
        assert text in shown, text
