"""What routes guarantee: worked out of sources, journal and sink, with the reasons; and required."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from canonical.errors import ConfigError
from config.guarantees import Guarantee, guarantee
from config.load import check, load

HOOK = """
  mes:
    kind: rest
    plant: aachen
    webhook: {verify: {kind: VERIFY, secret: "${env:SECRET}"}}
    format:
      kind: json
      events:
        - type: inventory.adjusted
          ID
          data:
            location: {plant: "'aachen'", storage: "'A1'"}
            item: payload.item
            delta: {value: payload.delta, uom: "'H87'"}
            reason: {code: "'count'"}
            posted_at: payload.at
"""
BROKER = """
  line:
    kind: mqtt
    plant: aachen
    url: mqtt://127.0.0.1:1883
    session_expiry: 2d
    subscribe: [{topic: "a/{tag}", qos: QOS}]
    format: {kind: value}
"""
PRESS = """
  press:
    kind: opcua
    plant: aachen
    url: opc.tcp://127.0.0.1:4840
    anonymous: true
    equipment: acme/aachen/a/b/press
    tags: [{node: "nsu=http://x;i=1", tag: t, uom: CEL}]
"""
PARTNER = """
  inbox: {kind: files, path: in, format: {kind: edifact}}
"""
ERP = """
  erp: {kind: rest, url: "http://127.0.0.1:9000", EXTRA}
"""
LOOKUP = 'lookup: {path: "receipts/{key}"}'
Written = Callable[..., Path]
SECRET = {"SECRET": "d2hhdC1ldmVyLXRoYXQtaXMtbG9uZy1lbm91Z2g="}


@pytest.fixture
def written(tmp_path: Path) -> Written:
    """A deployment of these adapters with one route."""

    def write(*adapters: str, on: str = "inventory.adjusted", to: str = "erp", more: str = "") -> Path:
        path = tmp_path / "deployment.yaml"
        head = "company: acme\nplants:\n  aachen: {name: Aachen, timezone: Europe/Berlin}\nadapters:"
        route = f"routes:\n  out:\n    on: [{on}]\n    to: {to}\n{more}"
        path.write_text(head + "".join(adapters) + route)
        return path

    return write


def hook(verify: str = "bearer", rule: str = "id: payload.id") -> str:
    return HOOK.replace("VERIFY", verify).replace("          ID\n", f"          {rule}\n" if rule else "")


def erp(extra: str = "timeout: 5s") -> str:
    return ERP.replace("EXTRA", extra)


def found(path: Path) -> Guarantee:
    return guarantee(load(path, SECRET), "out")


def test_ids_by_rules_and_a_target_that_can_be_asked_are_effectively_once(written: Written) -> None:
    got = found(written(hook(), erp(LOOKUP)))
    assert (got.level, got.order, got.sources, got.because) == ("effectively_once", "key", ["mes"], [])
    assert got.provided == [
        "mes: the sender repeats what it got no 2xx for",
        "mes: what it sends again comes within 7d (`dedupe`)",
        "erp is asked before anything is sent again",
    ]


@pytest.mark.parametrize(
    ("rule", "extra", "level", "words"),
    [
        ("", LOOKUP, "at_least_once", "mes may send the same under another id"),
        (
            "id: payload.id",
            "timeout: 5s",
            "at_least_once",
            "erp cannot be asked what has arrived; give it a `lo",
        ),
        ("id: payload.id", "idempotent: true", "effectively_once", ""),
    ],
)
def test_what_is_missing_is_told(written: Written, rule: str, extra: str, level: str, words: str) -> None:
    got = found(written(hook(rule=rule), erp(extra)))
    assert got.level == level
    assert got.because == [] if not words else got.because[0].startswith(words)


def test_standard_webhooks_oblige_the_sender_to_give_ids(written: Written) -> None:
    assert found(written(hook("standard-webhooks", ""), erp(LOOKUP))).level == "effectively_once"


@pytest.mark.parametrize(("qos", "level"), [("1", "effectively_once"), ("0", "best_effort")])
def test_a_subscription_without_acknowledgement_may_lose(written: Written, qos: str, level: str) -> None:
    line = BROKER.replace("QOS", qos)
    got = found(written(line, erp("idempotent: true"), on="telemetry.measurement.recorded"))
    assert got.level == level
    assert got.order == "none"
    assert "line: the hub is away no longer than its session lasts (2d)" in got.provided


def test_gaps_of_a_machine_are_not_hidden(written: Written) -> None:
    got = found(written(PRESS, erp("idempotent: true"), on="telemetry.measurement.recorded"))
    assert got.level == "best_effort"
    assert got.because[0].startswith("press may miss values that the server's queue dropped")


def test_only_adapters_that_may_make_such_events_count(written: Written) -> None:
    got = found(written(PRESS, hook(), BROKER.replace("QOS", "0"), erp(LOOKUP)))
    assert (got.sources, got.level) == (["mes"], "effectively_once")


def test_the_ledger_of_interchanges_needs_no_ids(written: Written) -> None:
    got = found(written(PARTNER, erp(LOOKUP), on="procurement.asn.received"))
    assert got.level == "effectively_once"
    assert got.provided[0] == "inbox: interchanges are taken in once, for good"


def test_a_file_that_was_taken_away_is_not_found_again(written: Written) -> None:
    got = found(written(hook(), "  erp: {kind: files, path: out}\n", to="{adapter: erp, name: x.json}"))
    assert got.level == "at_least_once"
    assert got.because == [
        "erp does not find a file that the receiver has taken away already when it is asked"
    ]


@pytest.mark.parametrize(("qos", "level"), [("1", "at_least_once"), ("0", "best_effort")])
def test_a_delivery_without_confirmation_may_be_lost(written: Written, qos: str, level: str) -> None:
    broker = "  erp: {kind: mqtt, url: mqtt://127.0.0.1:1883}\n"
    assert found(written(hook(), broker, to=f"{{adapter: erp, topic: x, qos: {qos}}}")).level == level


def test_without_adapters_it_rests_on_those_who_post(written: Written) -> None:
    got = found(written(erp(LOOKUP)))
    assert got.level == "effectively_once"
    assert got.provided[0] == "who posts to the gateway repeats what got no answer, under the same id"


def test_what_is_required_and_cannot_be_kept_is_refused_at_its_place(written: Written) -> None:
    required = "    require: effectively_once\n"
    path = written(hook(), erp(), more=required)
    [refused] = check(path, SECRET)
    line = path.read_text().splitlines().index(required.rstrip()) + 1
    assert (refused.line, refused.column) == (line, 14)
    assert refused.message.startswith(
        "routes.out.require: effectively_once cannot be kept, only at_least_once: erp cannot be asked"
    )
    with pytest.raises(ConfigError):
        load(path, SECRET)
    assert check(written(hook(), erp(), more="    require: at_least_once\n"), SECRET) == []
    assert check(written(hook(), erp(LOOKUP), more=required), SECRET) == []


def test_a_route_that_enriches_says_what_a_repetition_brings(written: Written) -> None:
    enrich = "    enrich: {order: {from: receipts, key: data.item}}\n    map: {at: enrich.order.at}\n"
    got = found(written(hook(), erp(LOOKUP), more=enrich))
    assert got.level == "effectively_once"
    assert (
        "what comes again comes under its key, with what the services know by then (`enrich`)" in got.provided
    )


def test_a_document_may_change_its_batch(written: Written) -> None:
    batch = "    batch: {size: 50}\n"
    got = found(written(hook(), erp(LOOKUP), more=batch))
    assert (got.level, got.order) == ("at_least_once", "key")
    assert got.because[0].startswith("a document of a batch may go out in another one, under its key")
    [refused] = check(written(hook(), erp(LOOKUP), more=batch + "    require: effectively_once\n"), SECRET)
    assert "effectively_once cannot be kept, only at_least_once: a document of a batch" in refused.message


@pytest.mark.parametrize(
    ("success", "rests"), [("", 0), (", success: [200]", 0), (", success: [200, 207]", 1)]
)
def test_a_batch_rests_on_a_target_that_takes_it_whole_where_207_is_named(
    written: Written, success: str, rests: int
) -> None:
    got = found(written(hook(), erp(), to=f"{{adapter: erp{success}}}", more="    batch: {size: 50}\n"))
    assert sum("a 207 counts as all of it" in text for text in got.provided) == rests


@pytest.mark.parametrize(
    ("to", "more", "words"),
    [
        ("erp", "format: {kind: csv, columns: [{name: item}]}", "'csv' has no form for several documents"),
        ("{adapter: erp, method: DELETE}", "order: key", "a DELETE has no body for the documents"),
    ],
)
def test_a_batch_needs_a_body_of_json(written: Written, to: str, more: str, words: str) -> None:
    found = check(written(hook(), erp(), to=to, more=f"    batch: {{}}\n    {more}\n"), SECRET)
    assert [each.message for each in found if words in each.message], found
    assert check(written(hook(), erp(), more="    batch: {as: lines}\n"), SECRET) == []
