"""A hub that exchanges EDI with partners: taken once, answered, numbered, and missed when nobody answers."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sqlite3
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from mockedi import ack, edifact, transactions, x12
from mockedi.envelope import Interchange
from mockedi.validate import validate

from tests.adapters.edi.test_partner import sent
from tests.end_to_end.edi import US, Site, names, orders, purchase_order
from tests.servers import OpenSsh, StartOpenSsh
from tests.waiting import eventually

pytestmark = pytest.mark.timeout(240)

ANSWERS = """
    on: [integration.interchange.received]
    when: 'data.standard == "%s" && !(data.?groups.orValue([]).all(g, g.messages.all(m,
      m.type in ["CONTRL", "997", "TA1"])))'
    format: {kind: %s}
"""


@pytest.fixture
async def site(tmp_path: Path, free_port: Callable[[], int]) -> AsyncIterator[Site]:
    site = Site(tmp_path, free_port())
    yield site
    await site.hub.end()


def over_sftp(site: Site, sshd: OpenSsh, out: Path, into: Path) -> str:
    common = f'host_key: "{sshd.host_key}"\n    key: ${{file:{sshd.key_path}}}'
    return f"""
partners:
  nordstahl:
    ids: [{{qualifier: "14", id: "4060000000017"}}]
    edifact: {{sender: {{id: "{US}", qualifier: "14"}}, acknowledge: contrl}}
adapters:
  nordstahl-inbox:
    kind: sftp
    partner: nordstahl
    format: {{kind: edifact}}
    url: {sshd.url(out)}
    {common}
    pick_up: {{every: 200ms, ready: {{kind: stable, checks: 2, interval: 1s}}}}
  nordstahl-outbox:
    kind: sftp
    partner: nordstahl
    url: {sshd.url(into)}
    {common}
routes:
  answers:
{ANSWERS % ("edifact", "edifact")}
    to: {{adapter: nordstahl-outbox, name: "contrl-{{data.reference}}-{{data.outcome}}.edi"}}
"""


async def put(sshd: OpenSsh, content: bytes, to: Path, kbit_s: int | None = None) -> None:
    local = sshd.folder / "local"
    local.write_bytes(content)
    running = sshd.sftp(f"put {local} {to}", kbit_s=kbit_s)
    assert await asyncio.to_thread(running.wait, 120) == 0


@pytest.mark.requires_server("sshd")
async def test_what_is_put_is_taken_once_and_a_repetition_is_answered(
    site: Site, start_sshd: StartOpenSsh
) -> None:
    """OpenSSH's sftp: slowly while the hub looks; other content of the same name; the same content again."""
    sshd = start_sshd()
    out, into = site.share("partner/out", "partner/in")
    site.configure(over_sftp(site, sshd, out, into))
    await site.start()
    slow, other = orders("1001", 400), orders("1002", 2)
    await put(sshd, slow, out / "orders.edi", kbit_s=64)
    assert await names(into, 1) == ["contrl-1001-accepted.edi"]
    await put(sshd, other, out / "orders.edi")
    assert len(await names(into, 2)) == 2
    await put(sshd, other, out / "orders.edi")
    assert "contrl-1002-duplicate.edi" in await names(into, 3)
    assert await site.interchanges() == [("1001", "accepted"), ("1002", "accepted"), ("1002", "duplicate")]
    assert [len(data["lines"]) for data in await site.data("procurement.order.issued")] == [400, 2]
    archived = [path.read_bytes() for path in (out / "archive").iterdir()]
    assert sorted(archived) == sorted([slow, other, other])
    answers = [(into / name).read_text() for name in sorted(await names(into, 3))]
    ucis = [edifact.parse(text).messages() for text in answers]
    told = [
        [(m.find("UCI").get(1), m.find("UCI").get(4), m.find("UCI").get(5)) for _, m in one] for one in ucis
    ]
    assert told == [[("1001", "7", "")], [("1002", "7", "")], [("1002", "4", "26")]]
    assert [edifact.parse(text).control for text in answers] == ["1", "2", "3"]  # ours, numbered
    assert await site.hub.stop() == 0


STOCK = "item;stock\nA-1;5\nA-2;7\n"


async def test_an_unchanged_stock_list_of_the_next_day_is_new(site: Site) -> None:
    (folder,) = site.share("stock")
    site.configure(f"""
plants:
  brno: {{name: Brno, timezone: Europe/Prague}}
adapters:
  stock:
    kind: files
    plant: brno
    path: {folder}
    pick_up: {{every: 200ms, ready: {{kind: renamed}}}}
    format:
      kind: csv
      delimiter: ";"
      events:
        - type: inventory.balance.reported
          data:
            location: {{plant: "'brno'", storage: "'MAIN'"}}
            item: payload.item
            on_hand: {{value: payload.stock, uom: "'H87'"}}
            as_of: message.changed_at
""")
    await site.start()
    path = folder / "stock.csv"

    async def dropped(at_s: int, content: str = STOCK) -> None:
        hidden = folder / ".stock"
        hidden.write_text(content)
        os.utime(hidden, (at_s, at_s))
        hidden.rename(path)
        await eventually(lambda: not path.exists(), 60)

    await dropped(1_770_000_000)
    assert len(await site.data("inventory.balance.reported")) == 2
    await dropped(1_770_086_400)
    assert len(await site.data("inventory.balance.reported")) == 4
    await dropped(1_770_086_400)  # brought back as it was: this pick-up is known
    assert len(await site.data("inventory.balance.reported")) == 4
    assert await site.hub.stop() == 0


def between_folders(site: Site, kind: str, due: str = "1h") -> str:
    inbox, outbox = site.share("in", "out")
    standard = "edifact" if kind == "edifact" else "x12"
    return f"""
plants:
  aachen: {{name: Aachen, timezone: Europe/Berlin}}
partners:
  partner:
    ids: [{{qualifier: ZZ, id: PARTNER}}]
    {kind}: {{sender: {{id: HUB, qualifier: ZZ}}, acknowledgement_due: {due}}}
adapters:
  inbox:
    kind: files
    partner: partner
    path: {inbox}
    format: {{kind: {kind}}}
    pick_up: {{every: 200ms, ready: {{kind: renamed}}}}
  outbox: {{kind: files, partner: partner, path: {outbox}}}
routes:
  answers:
{ANSWERS % (standard, kind)}
    to: {{adapter: outbox, name: "answer-{{data.reference}}-{{data.outcome}}.edi"}}
  orders-out:
    on: [procurement.order.issued]
    when: 'event.source == "/systems/erp"'
    format: {{kind: {kind}}}
    map:
      purchase_order: data.purchase_order
      revision: data.revision
      supplier: data.supplier
      ship_to: data.ship_to
      lines: data.lines
      buyer: "'HUB'"
    to: {{adapter: outbox, name: "order-{{data.purchase_order}}.edi"}}
    owner: purchasing
"""


def drop(folder: Path, name: str, content: bytes) -> None:
    """As its sender does: written under another name, then renamed."""
    (folder / f".{name}").write_bytes(content)
    (folder / f".{name}").rename(folder / name)


def parsed(kind: str, path: Path) -> Interchange:
    text = path.read_text(encoding="latin-1")
    return edifact.parse(text) if kind == "edifact" else x12.parse(text)


def acknowledgement(kind: str, interchange: Interchange, number: str) -> bytes:
    """mock-edi's CONTRL or 997 for an interchange of ours."""
    report = validate(interchange)
    if kind == "edifact":
        body = ack.syntax_report(interchange, report, report.messages)
        wrapped = edifact.wrap([edifact.message("CONTRL", "1", body, "D:3:UN")], "PARTNER", "HUB", number)
        return str(edifact.render(wrapped)).encode()
    ((function, group, version, messages),) = ack.group_reports(interchange, report)
    body = ack.functional_acknowledgment(function, group, version, messages)
    message = x12.message("997", "0001", body)
    return str(x12.render(x12.wrap([message], "PARTNER", "HUB", number.rjust(9, "0"), number, "FA"))).encode()


@pytest.mark.parametrize("kind", ["edifact", "x12"])
async def test_an_independent_partner_and_we_understand_each_other(site: Site, kind: str) -> None:
    """mock-edi sends an order and a despatch advice, one of them twice, and reads and answers our orders."""
    site.configure(between_folders(site, kind))
    inbox, outbox = site.folder / "in", site.folder / "out"
    await site.start()
    dialect = "EDIFACT" if kind == "edifact" else "X12"
    order = sent(dialect, "order").encode()
    advice = sent(dialect, "despatch").replace("77", "78").encode()
    for name, content in (("1.edi", order), ("2.edi", advice), ("3.edi", order)):
        drop(inbox, name, content)
        await eventually((inbox / "archive" / name).exists, 60)
    assert [outcome for _, outcome in await site.interchanges()] == ["accepted", "accepted", "duplicate"]
    assert [data["purchase_order"] for data in await site.data("procurement.order.issued")] == ["PO-4711"]
    assert [data["asn"] for data in await site.data("procurement.asn.received")] == ["SH-99"]
    answers = await names(outbox, 3)
    assert [name.rpartition("-")[2] for name in answers] == ["accepted.edi", "duplicate.edi", "accepted.edi"]
    assert all(validate(parsed(kind, outbox / name)).clean for name in answers)
    await site.post([purchase_order("PO-1"), purchase_order("PO-2")])
    for name in ("order-PO-1.edi", "order-PO-2.edi"):
        await eventually((outbox / name).exists, 60)
        interchange = parsed(kind, outbox / name)
        ((_, message),) = interchange.messages()
        assert f"order-{transactions.read_order(message, dialect).po_number}.edi" == name
        assert [one.accepted for one in validate(interchange).messages] == [True]
        drop(inbox, f"ack-{name}", acknowledgement(kind, interchange, name[9:-4]))
    numbers = [int(parsed(kind, path).control) for path in outbox.iterdir()]
    assert sorted(numbers) == [1, 2, 3, 4, 5]

    async def answered() -> bool:
        found = [data.get("findings", ()) for data in await site.data("integration.interchange.received")]
        codes = [one["code"] for findings in found for one in findings]
        return codes.count("acknowledgement") == 2

    await eventually(answered, 60)
    assert await names(outbox, 5) == sorted([*answers, "order-PO-1.edi", "order-PO-2.edi"])
    assert await site.hub.stop() == 0
    with contextlib.closing(sqlite3.connect(site.folder / "data" / "journal.db")) as journal:
        sent_out = journal.execute("SELECT route, answer FROM interchanges_sent ORDER BY route").fetchall()
    assert sent_out == [("answers", "")] * 3 + [("orders-out", "accepted")] * 2


async def test_an_order_that_nobody_acknowledges_becomes_an_exception_once(site: Site) -> None:
    site.configure(between_folders(site, "edifact", due="2s"))
    inbox, outbox = site.folder / "in", site.folder / "out"
    await site.start()
    await site.post([purchase_order("PO-1"), purchase_order("PO-2")])
    await names(outbox, 2)
    await site.hub.kill9()  # what is waited for is kept
    await site.start()

    def ours(data: dict[str, Any]) -> bool:
        return str(data["exception"]).startswith("acknowledgement/")

    async def exceptions() -> list[tuple[str, str, str]]:
        found = [data for data in await site.data("integration.exception.changed") if ours(data)]
        return [(data["exception"].rpartition("/")[2], data["status"], data["queue"]) for data in found]

    async def told(number: int) -> bool:
        return len(await exceptions()) >= number

    await eventually(lambda: told(2), 60)
    assert sorted(await exceptions()) == [("1", "open", "purchasing"), ("2", "open", "purchasing")]
    late = parsed("edifact", outbox / "order-PO-1.edi")
    drop(inbox, "late.edi", acknowledgement("edifact", late, "501"))
    refusal = acknowledgement("edifact", parsed("edifact", outbox / "order-PO-2.edi"), "502")
    drop(inbox, "no.edi", refusal.replace(b"+7'UCM", b"+4+12+UNB'UCM").replace(b":UN+7'", b":UN+4+12'"))
    await eventually(lambda: told(4), 60)
    by_reference = {parsed("edifact", path).control: path.name for path in outbox.iterdir()}
    assert sorted(by_reference.values()) == ["order-PO-1.edi", "order-PO-2.edi"]
    assert sorted((await exceptions())[2:]) == sorted(
        [(late.control, "resolved", "purchasing"), (str(3 - int(late.control)), "open", "purchasing")]
    )
    told_so_far = await site.data("integration.exception.changed")
    summaries = [data["summary"] for data in told_so_far if ours(data)]
    assert "PO-1" in summaries[0] + summaries[1]
    assert sum("was refused by its receiver: UCI 12" in summary for summary in summaries) == 1
    await site.hub.kill9()
    await site.start()
    await asyncio.sleep(0)
    assert len(await exceptions()) == 4
    assert await site.hub.stop() == 0


async def test_a_rejected_file_goes_to_error_with_its_reason_and_is_answered(site: Site) -> None:
    site.configure(between_folders(site, "edifact"))
    inbox, outbox = site.folder / "in", site.folder / "out"
    await site.start()
    drop(inbox, "bad.edi", orders("9", segments=99))
    assert await names(outbox, 1) == ["answer-9-rejected.edi"]
    await eventually((inbox / "error" / "bad.edi").exists, 60)
    reason = (inbox / "error" / "bad.edi.reason.txt").read_text()
    assert "what it holds was rejected" in reason
    assert "segment_count: UNT says 99, but 9 segments were counted" in reason
    assert "dead letter 1" in reason
    ((_, contrl),) = parsed("edifact", outbox / "answer-9-rejected.edi").messages()
    assert (contrl.find("UCM").get(3), contrl.find("UCM").get(4)) == ("4", "29")
    drop(inbox, "good.edi", orders("9"))  # corrected, under the same reference
    assert await names(outbox, 2) == ["answer-9-accepted.edi", "answer-9-rejected.edi"]
    assert len(await site.data("procurement.order.issued")) == 1
    assert await site.hub.stop() == 0
