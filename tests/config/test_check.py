"""What is known before running: names, event types, expressions, codes, and what nothing reaches."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.config.conftest import HEAD, Checked

DONE = "on: [production.order.completed]\n"
TO = "to: {adapter: erp, path: x}\n"
SOURCE = "kind: probe, url: x://a, topics: [{filter: x}]"


def route(text: str) -> str:
    """The deployment with the body of its route, which begins in line 9, column 5."""
    head, _, _ = HEAD.partition("    on:")
    return head + "".join(f"    {line}\n" for line in text.splitlines())


def told(found: list[str], place: str, words: str) -> bool:
    """Whether these words were found at this place."""
    return any(each.startswith(f"deployment.yaml:{place}: ") and words in each for each in found)


@pytest.mark.parametrize(
    ("text", "place", "words"),
    [
        (
            f"on: [production.order.completd]\n{TO}",
            "9:10",
            "on: unknown event type 'production.order.completd'; did",
        ),
        (
            f"on: [prodction.*]\n{TO}",
            "9:10",
            "on: unknown event type 'prodction.*'; did you mean 'production'?",
        ),
        (f"on: ['*']\n{TO}", "9:10", "on: unknown event type '*'; name the domains: [telemetry.*,"),
        (f"on: []\n{TO}", "9:5", "on: list should have at least 1 item"),
        (
            DONE + "to: {adapter: epr, path: x}",
            "10:19",
            "to.adapter: unknown adapter 'epr'; did you mean 'erp'?",
        ),
        (DONE + "to: epr", "10:9", "to: unknown adapter 'epr'; did you mean 'erp'?"),
        (DONE + "to: erp", "10:9", "to: 'path' is missing: The path below the url."),
        (DONE + "to: {path: x}", "10:5", "to: 'adapter' is missing: The adapter's name."),
        (
            DONE + "to: {adapter: erp, path: x, pth: x}",
            "10:33",
            "to: unknown key 'pth'; did you mean 'path'?",
        ),
        (DONE + TO + "plants: [aachn]", "11:14", "plants: unknown plant 'aachn'; did you mean 'aachen'?"),
        (DONE + TO + "mode: shade", "11:11", "mode: must be 'live' or 'shadow', not 'shade'"),
        (DONE + TO + "map: a b", "11:10", "map: 'a b' is neither a mapping of fields nor a function"),
        (DONE + TO + "map: nowhere_at_all.f", "11:10", "map: there is no Python module 'nowhere_at_all'; in"),
        (DONE + TO + "map: json.lods", "11:10", "map: json has no function 'lods'; did you mean 'loads'?"),
        (DONE + TO + "map: json:JSONDecoder", "11:10", "map: json:JSONDecoder is no function but type"),
        (
            DONE + TO + "map: json.loads",
            "11:10",
            "map: json.loads wants 's'; a mapping is given what it names",
        ),
        (DONE + TO + "split: data.lnes", "11:17", "split: production.order.completed has no data.lnes"),
        (DONE + TO + "split: data..x", "11:17", "split: syntax error"),
        (
            f"on: [procurement.asn.received]\n{TO}split: data.lines\nmap: {{a: item.itm}}",
            "12:19",
            "map.a: procurement.asn.received has no data.lines[].itm; did you mean data.lines[].item?",
        ),
        (
            DONE + TO + "aggregate: {by: data.itm, until: {count: 3, within: 1h}}",
            "11:26",
            "aggregate.by: production.order.completed has no data.itm; did you mean data.item?",
        ),
        (
            DONE + TO + "aggregate: {until: {when: 'items.size( > 3', within: 1h}}",
            "11:44",
            "aggregate.until.when: syntax error",
        ),
        (
            DONE + TO + "aggregate: {until: {}}",
            "11:17",
            "aggregate.until: needs at least one of count, within",
        ),
        (DONE + TO + "aggregate: {until: {count: 3}}", "11:17", "aggregate.until: without `within` a group"),
        (
            DONE + TO + "aggregate: {until: {within: 1h}}\nmap: {a: data.order}",
            "12:19",
            "map.a: integration.aggregate.completed has no data.order",
        ),
        (DONE + TO + "batch: {size: 1}", "11:19", "batch.size: must be greater than or equal"),
        (DONE + TO + "batch: {as: xml}", "11:17", "batch.as: must be 'array' or 'lines', not 'xml'"),
        (DONE + TO + "batch: {}", "11:5", "batch: 'erp' ('probe') takes one document at a time; leave out"),
        (DONE + TO + "map: {a: item.code}", "11:18", "map.a: undeclared reference to 'item.code'"),
        (DONE + TO + "priority: urgent", "11:15", "priority: must be 'high', 'normal' or 'low', not"),
        (DONE + TO + "was: done", "11:10", "was: the route 'done' is still there"),
        (DONE + TO + "retry: {first: 10m, max: 5m}", "11:5", "retry: needs first ≤ max ≤ give_up_after"),
        (DONE + TO + "format: {kind: inscription}", "11:5", "format: 'inscription' can be read only"),
        (
            DONE + TO + "order: keys",
            "11:12",
            "order: must be 'key' or 'none', not 'keys'; did you mean 'key'?",
        ),
        (
            DONE + TO + "codes: {system: e, fields: [data.itm]}",
            "11:33",
            "codes.fields: there is no field data.itm",
        ),
        (
            DONE + TO + "codes: {system: e, fields: [data.order]}",
            "11:33",
            "codes.fields: data.order holds no codes",
        ),
    ],
)
def test_a_route_that_cannot_work_is_told(text: str, place: str, words: str, checked: Checked) -> None:
    assert told(checked(route(text)), place, f"routes.done.{words}")


def test_domains_and_versions_may_be_named(checked: Checked) -> None:
    assert checked(route("on: ['production.order.*', equipment.count.reported.v1]\n" + TO)) == []


def test_one_renaming_has_one_heir(checked: Checked) -> None:
    text = HEAD.replace("    to:", "    was: old\n    to:")
    found = checked(text + "  other: {on: ['production.*'], was: old, to: {adapter: erp, path: x}}\n")
    assert told(found, "12:38", "routes.other.was: 'done' already goes on where 'old' stood")


# ── expressions ─────────────────────────────────────────────────────────────────────────────────

LACKS = "when: production.order.completed has no"


@pytest.mark.parametrize(
    ("text", "place", "words"),
    [
        ("when: data.itm == 'x'", "11:16", f"{LACKS} data.itm; did you mean data.item?"),
        ("when: 'data.good.valu > 1'", "11:22", f"{LACKS} data.good.valu; did you mean data.good.value?"),
        ('when: "data.good.valu > 1"', "11:22", f"{LACKS} data.good.valu; did you mean data.good.value?"),
        ("when: event.plant == 'x'", "11:17", f"{LACKS} event.plant; did you mean event.plantid?"),
        ("when: |\n  data.item == 'x'\n  && data.itm == 'y'", "13:15", f"{LACKS} data.itm"),
        ("when: >-\n  data.item == 'x'\n  &&\n  data.itm == 'y'", "14:12", f"{LACKS} data.itm"),
        ("when: has(data.lotz)", "11:14", f"{LACKS} data.lotz; did you mean data.lots?"),
        ("when: |\n  data.item ==\n", "12:19", "when: syntax error: mismatched input the end"),
        ("when: |\n  data.item\n    == == 'x'\n", "13:12", "when: syntax error: extraneous input '=='"),
        ("when: dta == 'x'", "11:11", "when: undeclared reference to 'dta'"),
        (
            "map: {a: {b: [data.item, data.itm]}}",
            "11:35",
            "map.a.b[1]: production.order.completed has no data.itm",
        ),
        (
            'map: {a: \'lookup("itme", "erp", data.item)\'}',
            "11:23",
            "map.a: lookup() of the unknown domain 'itme'",
        ),
    ],
)
def test_what_an_expression_reads_must_be_there(text: str, place: str, words: str, checked: Checked) -> None:
    assert told(checked(route(DONE + TO + text)), place, f"routes.done.{words}")


@pytest.mark.parametrize(
    "text",
    [
        "when: has(data.lots) && data.?lots.hasValue()",
        "when: has(event.myextension) && event.?other.orValue(1) == 1",
        "map: {a: 'data.lots.map(l, l)', b: data, c: event.data.item, d: 7}",
        "map: {e: event, f: 'data.lots[0].size()'}",
        'map: {a: \'lookup("item", "erp", data.item)\', b: \'unit(data.good.value, data.good.uom, "KGM")\'}',
    ],
)
def test_what_is_there_may_be_read(text: str, checked: Checked) -> None:
    assert checked(route(DONE + TO + text)) == []


def test_templates_are_expressions_too(checked: Checked) -> None:
    to = 'to: {adapter: erp, path: "a/{data.order}/{data.odrer}", headers: {x: "{{}} {event.id}{"}}'
    found = checked(route(DONE + to))
    assert told(
        found, "10:52", "routes.done.to.path: production.order.completed has no data.odrer; did you mean"
    )
    assert told(found, "10:90", "routes.done.to.headers.x: the brace in '{{}} {event.id}{' is never")


def test_a_field_that_only_some_types_have_must_be_optional(checked: Checked) -> None:
    both = "on: [production.order.completed, production.order.rescheduled]\n" + TO
    words = "rescheduled has no data.item; write data.?item or test it by has(data.item)"
    assert told(checked(route(both + "when: data.item == 'x'")), "11:16", words)
    assert checked(route(both + "when: data.?item.orValue('') == 'x'")) == []


def test_an_expression_from_a_reference_is_told_without_its_text(checked: Checked, tmp_path: Path) -> None:
    (tmp_path / "when.cel").write_text("data.item ==\n  topsecret +", encoding="utf-8")
    (found,) = checked(route(DONE + TO + "when: ${file:when.cel}"))
    assert "not a CEL expression (line 2, column 14 of ${file:when.cel})" in found
    assert "topsecret" not in found


def test_the_expressions_of_a_route_with_other_mistakes_are_checked(checked: Checked) -> None:
    found = checked(route("on: production.order.completed\nfoo: 1\nwhen: data.itm == 'x'\n"))
    assert [each.split(": ")[0] for each in found] == [
        "deployment.yaml:8:3",  # `to` is missing
        "deployment.yaml:9:9",
        "deployment.yaml:10:5",
        "deployment.yaml:11:16",
    ]


# ── adapters ────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("adapter", "place", "words"),
    [
        ("{kind: probe, url: x://a, plant: bonn}", "7:39", "a.plant: unknown plant 'bonn'; known: aachen"),
        (
            "{kind: probe, url: x://a, partner: b}",
            "7:41",
            "a.partner: unknown partner 'b'; there are no partners",
        ),
        (
            "{kind: meter, plant: aachen, partner: b}",
            "7:3",
            "a: an adapter belongs to a plant or to a partner",
        ),
        ("{kind: outbox}", "7:3", "a: takes no messages in, and no route delivers to it"),
        (f"{{{SOURCE}}}", "7:3", "a: 'format' is missing: it says how the messages that come in are read"),
        (
            "{kind: meter, format: {kind: json}}",
            "7:20",
            "a.format: adapters of kind 'meter' read their messages",
        ),
        (
            "{kind: outbox, format: {kind: json}}",
            "7:21",
            "a.format: adapters of kind 'outbox' take no messages in",
        ),
        (
            "{kind: probe, url: x://a, format: {kind: json}}",
            "7:32",
            "a.format: as it is set, this adapter takes no",
        ),
        (
            f"{{{SOURCE}, format: {{kind: proclamation}}}}",
            "7:55",
            "a.format: 'proclamation' can be written only",
        ),
        (
            f"{{{SOURCE}, format: {{kind: json, rule: '1 +'}}}}",
            "7:55",
            "a.format: syntax error: mismatched input",
        ),
        (
            "{kind: meter, codes: {system: s, fields: [data.x]}}",
            "7:48",
            "a.codes.fields: there is no field data.x",
        ),
    ],
)
def test_an_adapter_that_cannot_work_is_told(adapter: str, place: str, words: str, checked: Checked) -> None:
    text = HEAD.replace("routes:", f"  a: {adapter}\nroutes:")
    assert told(checked(text), place, f"adapters.{words}")


def test_a_route_to_what_only_takes_in_is_told(checked: Checked) -> None:
    text = HEAD.replace("routes:", "  m: {kind: meter}\nroutes:").replace("{adapter: erp, path: orders}", "m")
    assert told(checked(text), "11:9", "routes.done.to: 'm' cannot deliver: 'meter' takes messages in only")


def test_a_route_that_no_adapter_reaches_is_warned_of(checked: Checked) -> None:
    text = HEAD.replace("plants:\n", "plants:\n  brno: {name: Brno, timezone: Europe/Prague}\n", 1)
    found = checked(text.replace("    to:", "    plants: [brno]\n    to:"))
    words = (
        "warning: routes.done.plants: no adapter takes messages in at brno: only events posted to the gateway"
    )
    assert told(found, "11:5", words)
    assert len(found) == 1


# ── the rest ────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("bind", ["127.0.0.1", "127.0.0.9", "::1", "[::1]", "localhost"])
def test_loopback_needs_no_tls(bind: str, checked: Checked) -> None:
    assert checked(HEAD + f"gateway: {{bind: '{bind}'}}\n") == []


def test_a_gateway_in_the_open_is_warned_of(checked: Checked) -> None:
    found = checked(HEAD + "gateway: {bind: 0.0.0.0}\n")
    assert told(found, "11:17", "warning: gateway.bind: keys and data travel in clear")


def test_service_levels_name_what_there_is(checked: Checked) -> None:
    found = checked(
        HEAD
        + "service_levels:\n"
        + "  a: {domain: prodction, latency: 1s}\n"
        + "  b: {domain: sales, latency: 1s, plants: [x]}\n"
        + "  c: {domain: sales, route: dune, failed_rate: 0.1}\n"
        + "  d: {domain: sales}\n"
    )
    assert told(
        found, "12:15", "levels.a.domain: 'prodction' is not one of its choices; did you mean 'production'?"
    )
    assert told(found, "13:44", "levels.b.plants: unknown plant 'x'; known: aachen")
    assert told(found, "14:29", "levels.c.route: unknown route 'dune'; did you mean 'done'?")
    assert told(found, "15:3", "levels.d: needs at least one of latency, backlog_age and failed_rate")
    assert len(found) == 4


def test_a_team_that_nothing_belongs_to_is_warned_of(checked: Checked) -> None:
    owned = HEAD.replace(
        "    to: {adapter: erp, path: orders}", "    to: {adapter: erp, path: orders}\n    owner: press"
    )
    found = checked(owned + "exceptions: {owners: {press: {due: 1h}, operations: {}, pres: {}}}\n")
    assert len(found) == 1
    assert "nothing belongs to 'pres', so nobody would be told; did you mean 'press'?" in found[0]


def test_cases_name_what_there_is(checked: Checked) -> None:
    found = checked(
        HEAD
        + "tests:\n"
        + "  - name: an order ends\n"
        + "    send: {adapter: line2, file: order.json}\n"
        + "    expect: {events: [{type: production.order.ended}], deliveries: [{route: doen}]}\n"
    )
    assert told(found, "13:21", "tests.send.adapter: unknown adapter 'line2'; did you mean 'line1'?")
    assert told(found, "13:34", "tests.send.file: no such file: order.json")
    assert told(
        found, "14:30", "tests.expect.events.type: unknown event type 'production.order.ended'; did you"
    )
    assert told(found, "14:77", "tests.expect.deliveries.route: unknown route 'doen'; did you mean 'done'?")
    assert len(found) == 4


def test_crosswalk_files_are_read(checked: Checked, tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text(
        "domain,system,plant,value,canonical\n"
        "item,erp,,A1,housing\n"
        "item,erp,,A2,housing\n"
        "item,mes,brno,B1,housing\n"
        "itm,mes,,B2,cover\n",
        encoding="utf-8",
    )
    text = HEAD.replace("    to:", "    codes: {system: epr}\n    to:") + "crosswalks: [rows.csv, gone.csv]\n"
    found = checked(text)
    assert told(
        found, "10:21", "warning: routes.done.codes.system: no crosswalk row has the system 'epr'; did you"
    )
    assert told(found, "12:24", "crosswalks: no such file: gone.csv")
    assert found[2:] == [
        "rows.csv:4:1: unknown plant 'brno'; known: aachen",
        "rows.csv:5:1: unknown domain 'itm'; did you mean 'item'?",
    ]
    two_codes = "rows.csv:3:1: warning: item 'housing' has two codes in 'erp', 'A1' (line 2) and 'A2': routes"
    assert any(each.startswith(two_codes) for each in checked(text.replace("epr", "erp")))


def test_a_domain_without_rows_is_warned_of(checked: Checked, tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text("domain,system,value,canonical\nitem,erp,A1,x\n", encoding="utf-8")
    text = HEAD.replace("    to:", "    codes: {system: erp}\n    to:") + "crosswalks: [rows.csv]\n"
    (found,) = checked(text)
    assert told(
        [found], "10:5", "warning: routes.done.codes: no crosswalk row for uom of 'erp', so events with"
    )
    assert "data.good.uom wait until there is one; name in `fields` those that carry its codes" in found
    assert checked(text.replace("system: erp", "system: erp, fields: [data.item]")) == []


def test_a_route_collects_or_splits(checked: Checked) -> None:
    [found] = checked(route(DONE + TO + "split: data.lots\naggregate: {until: {within: 1h}}"))
    assert found.startswith("deployment.yaml:8:3: routes.done: split and aggregate are two routes")
    [found] = checked(route(DONE + TO + "mode: shadow\naggregate: {until: {within: 1h}}"))
    assert found.startswith("deployment.yaml:8:3: routes.done: a shadow delivers nothing")
    for other in ("split: data.lots", "aggregate: {until: {within: 1h}}"):
        [found] = checked(route(DONE + TO + f"batch: {{size: 5}}\n{other}"))
        assert found.startswith(
            "deployment.yaml:8:3: routes.done: batch goes with neither split nor aggregate"
        )


def test_a_time_zone_that_does_not_exist_is_told_at_its_place(checked: Checked) -> None:
    zone = "map: {a: \"local(data.completed_at, 'Europe/Berlyn')\"}"
    [found] = checked(route(DONE + TO + zone))
    assert found.startswith("deployment.yaml:11:41: routes.done.map.a: local() in the unknown time zone")
    assert found.endswith("did you mean 'Europe/Berlin'?")
