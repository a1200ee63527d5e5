"""Files become a deployment, or findings at their places; what is secret stays so."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from config.findings import ConfigErrors
from config.load import check, load
from tests.config.conftest import HEAD, Checked

pytestmark = pytest.mark.usefixtures("kinds")

CANARY = "c4nary-in-a-coal-mine"
Written = Callable[[str], Path]


def with_options(text: str) -> str:
    """The deployment with more options of ``erp``, beginning in line 9, column 5."""
    return HEAD.replace("{kind: probe, url: x://erp}", f"\n    kind: probe\n    url: x://erp\n    {text}")


def test_a_sound_deployment_loads(written: Written) -> None:
    deployment = load(written(HEAD))
    assert list(deployment.adapters) == ["line1", "erp"]
    assert deployment.routes["done"].to.adapter == "erp"
    assert deployment.event_source("line1") == "/plants/aachen/adapters/line1"
    assert deployment.timezone("line1").key == "Europe/Berlin"
    assert deployment.timezone("erp").key == "UTC"


def test_options_are_instances_of_their_kind(written: Written) -> None:
    deployment = load(written(HEAD.replace("url: x://erp", "url: x://erp, timeout: 2m, limit: 1MB")))
    options = deployment.adapters["erp"].options
    assert (getattr(options, "timeout", None), getattr(options, "limit", None)) == (120.0, 1_000_000)
    assert getattr(deployment.routes["done"].to.options, "path", None) == "orders"
    settings = deployment.adapters["line1"].format
    assert settings is not None
    assert settings.kind == "json"


def test_references_give_their_values_and_types(written: Written, tmp_path: Path) -> None:
    (tmp_path / "token").write_text(f"{CANARY}\n", encoding="utf-8")
    text = HEAD.replace("url: x://erp", "url: '${env:URL}/api', token: '${file:token}', keep: '${env:KEEP}'")
    deployment = load(written(text), {"URL": "x://erp", "KEEP": "false"})
    options = deployment.adapters["erp"].options
    assert getattr(options, "url", None) == "x://erp/api"
    assert options.model_dump()["token"].get_secret_value() == CANARY
    assert getattr(options, "keep", None) is False


def test_empty_sections_count_as_absent(checked: Checked) -> None:
    assert checked("company: acme\nroutes:\nadapters:\ngateway:\ncrosswalks:\n") == []


def test_all_mistakes_are_told_at_once_and_only_once(checked: Checked) -> None:
    found = checked("""\
        company: Acme
        gatway: {}
        gateway: {port: eighty}
        journal: {retain: 30, retain_size: 20}
        plants:
          Bonn: {name: 3, timezone: Europe/Bonn}
        adapters:
          a: {kind: prob, url: x}
          b: {kind: probe, url: nope, topics: [{filtr: x, qos: 9}], toke: x, either: x}
          c: {kind: probe, url: x://c, auth: {method: basic, user: u}, format: {kind: json}}
        """)
    assert found == [
        "deployment.yaml:1:10: company: 'Acme' is not a name: use a-z, 0-9 and -",
        "deployment.yaml:2:1: unknown key 'gatway'; did you mean 'gateway'?",
        "deployment.yaml:3:17: gateway.port: must be a whole number, not 'eighty'",
        (
            "deployment.yaml:4:19: journal.retain: a duration needs its unit: write 30s if you mean that; "
            "examples: 500ms, 30s, 5m, 24h or 30d (units: ms, s, m, h, d)"
        ),
        (
            "deployment.yaml:4:36: journal.retain_size: a size needs its unit: write 20B if you mean that; "
            "examples: 64KB, 32MB, 20GB or 512KiB (units: B, KB, MB, GB, TB; KiB … = 1024)"
        ),
        "deployment.yaml:6:3: plants.Bonn: 'Bonn' is not a name: use a-z, 0-9 and -",
        "deployment.yaml:6:16: plants.Bonn.name: must be text, not 3; put it in quotes",
        (
            "deployment.yaml:6:29: plants.Bonn.timezone: 'Europe/Bonn' is not an IANA time zone; "
            "did you mean 'Europe/London'?"
        ),
        "deployment.yaml:8:13: adapters.a.kind: unknown adapter kind 'prob'; did you mean 'probe'?",
        "deployment.yaml:9:25: adapters.b.url: 'nope' has no scheme",
        "deployment.yaml:9:40: adapters.b.topics[0]: 'filter' is missing: The topic filter.",
        "deployment.yaml:9:41: adapters.b.topics[0]: unknown key 'filtr'; did you mean 'filter'?",
        "deployment.yaml:9:56: adapters.b.topics[0].qos: must be less than or equal to 2",
        "deployment.yaml:9:61: adapters.b: unknown key 'toke'; did you mean 'token'?",
        "deployment.yaml:9:78: adapters.b.either: must be a whole number or a list, not 'x'",
        "deployment.yaml:10:32: adapters.c.auth: 'password' is missing",
    ]


@pytest.mark.parametrize(
    ("written_value", "finding"),
    [
        ("keep: maybe", "keep: must be true or false, not 'maybe'"),
        ("topics: {filter: a}", "topics: must be a list, not a mapping"),
        ("topics: a", "topics: must be a list, not 'a'; put it in [ ]"),
        ("topics: [a]", "topics[0]: must be a mapping (key: value), not 'a'"),
        ("id: {data.order}", "id: must be text, not a mapping; text that begins with { or [ needs quotes"),
        ("id: 007", "id: must be text, not 7; put it in quotes"),
        ("timeout:", "timeout: is empty; write a value, or leave the key out"),
        ("auth: {method: basik}", "auth: 'method' must be 'basic' or 'bearer'; did you mean 'basic'?"),
        ("auth: {}", "auth: 'method' is missing"),
        ("id: 'item. +'", "id: syntax error: no viable alternative at input '. +'"),
    ],
)
def test_a_value_of_the_wrong_kind_says_what_is_wanted(
    written_value: str, finding: str, checked: Checked
) -> None:
    (found,) = checked(with_options(written_value))
    assert found.partition("adapters.erp.")[2].startswith(finding)


def test_an_expression_among_the_options_is_wrong_at_its_place(checked: Checked) -> None:
    text = with_options("id: |\n      item\n      + ) + 1")
    assert checked(text)[0].startswith("deployment.yaml:11:9: adapters.erp.id: syntax error")


# ── secrets and references ──────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "place",
    ["token: PLAIN", "tokens: {one: PLAIN}", "auth: {method: bearer, token: PLAIN}", "keep: x, token: PLAIN"],
)
def test_a_secret_in_clear_is_refused_and_not_shown(place: str, checked: Checked) -> None:
    found = checked(HEAD.replace("url: x://erp", f"url: x://erp, {place.replace('PLAIN', CANARY)}"))
    assert any("a secret in clear; write ${file:…} or ${env:…}" in each for each in found)
    assert CANARY not in "\n".join(found)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (
            "url: '${env:CANARY}'",
            "url: what ${env:CANARY} stands for is not accepted here; wanted: Where it is.",
        ),
        (
            "url: 'x://${env:CANARY}', token: '${env:CANARY}', auth: {method: bearer, token: a}",
            "not both: x://${",
        ),
        (
            "url: x://erp, either: '${env:CANARY}'",
            "a whole number or a list, not what ${env:CANARY} stands for",
        ),
        ("url: x://erp, plant: '${env:CANARY}'", "unknown plant '${env:CANARY}'"),
        ("url: x://erp, timezone: '${env:CANARY}'", "what ${env:CANARY} stands for is not accepted here"),
        ("url: x://erp, id: 'item.${env:CANARY} +'", "id: what ${env:CANARY} stands for"),
        ("url: x://erp, auth: {method: '${env:CANARY}'}", "auth"),
    ],
)
def test_what_a_reference_stands_for_is_never_shown(text: str, told: str, checked: Checked) -> None:
    found = checked(HEAD.replace("url: x://erp", text), {"CANARY": CANARY})
    assert any(told in each for each in found)
    assert CANARY not in "\n".join(found)


def test_the_repr_of_a_deployment_shows_no_values(written: Written) -> None:
    text = HEAD.replace(
        "url: x://erp", "url: '${env:CANARY}', owner: '${env:CANARY}', token: '${env:CANARY}'"
    )
    deployment = load(written(text), {"CANARY": f"x://{CANARY}"})
    parts = (deployment, deployment.adapters, deployment.adapters["erp"], deployment.routes)
    assert CANARY not in "".join(f"{part!r}{part!s}" for part in parts)
    assert repr(deployment.adapters["erp"]) == "AdapterConfig(kind, options, owner)"


def test_a_reference_that_leads_nowhere_is_one_finding(checked: Checked) -> None:
    assert checked(HEAD.replace("x://erp", "'${env:NOPE}'").replace("x://line1", "'${file:nope}'")) == [
        "deployment.yaml:5:45: ${file:nope}: cannot read nope: No such file or directory",
        "deployment.yaml:6:28: ${env:NOPE}: the environment variable 'NOPE' is not set",
    ]


def test_paths_count_from_the_file_that_they_stand_in(written: Written, tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text("domain,system,value,canonical\n", encoding="utf-8")
    text = HEAD.replace("url: x://erp", "url: x://erp, ca: certificates/ca.pem") + "crosswalks: [rows.csv]\n"
    deployment = load(written(text))
    assert getattr(deployment.adapters["erp"].options, "ca", None) == tmp_path / "certificates/ca.pem"
    assert deployment.crosswalks == [tmp_path / "rows.csv"]


# ── files and folders ───────────────────────────────────────────────────────────────────────────


def test_the_files_of_a_folder_are_one_deployment(tmp_path: Path) -> None:
    (tmp_path / "10-company.yaml").write_text("company: acme\ntests: []\n", encoding="utf-8")
    (tmp_path / "20-a.yaml").write_text("adapters:\n  a: {kind: probe, url: x://a}\n", encoding="utf-8")
    (tmp_path / "30-b.yml").write_text(
        "adapters:\n  b: {kind: meter}\nroutes:\n  r: {on: ['equipment.*'], to: {adapter: a, path: x}}\n",
        encoding="utf-8",
    )
    (tmp_path / "notes.txt").write_text("no: yaml: at all", encoding="utf-8")
    deployment = load(tmp_path)
    assert sorted(deployment.adapters) == ["a", "b"]


def test_the_same_key_in_two_files_is_told_with_both_places(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(
        "company: acme\nplants:\n  one: {name: One, timezone: UTC}\n", encoding="utf-8"
    )
    (tmp_path / "b.yaml").write_text(
        "company: acme\nplants:\n  one: {name: Two, timezone: UTC}\n", encoding="utf-8"
    )
    found = [str(each).replace(f"{tmp_path}/", "") for each in check(tmp_path)]
    assert found == [
        "b.yaml:1:1: company is given twice; first in a.yaml:1:1",
        "b.yaml:3:3: plants.one is given twice; first in a.yaml:3:3",
    ]


def test_what_cannot_be_read_is_told(tmp_path: Path) -> None:
    (tmp_path / "latin.yaml").write_bytes("company: Köln".encode("latin-1"))
    (tmp_path / "empty").mkdir()
    (tmp_path / "list.yaml").write_text("- a\n", encoding="utf-8")
    names = ("nowhere.yaml", "latin.yaml", "empty", "list.yaml")
    assert [str(check(tmp_path / name)[0]).replace(f"{tmp_path}/", "") for name in names] == [
        "nowhere.yaml: cannot be read: No such file or directory",
        "latin.yaml: is not UTF-8 text (byte 10)",
        "empty: the folder has no *.yaml file",
        "list.yaml:1:1: must be a mapping with keys such as company, plants, adapters and routes",
    ]


def test_loading_raises_all_findings_with_the_place_of_the_first_error(written: Written) -> None:
    path = written("company: acme\ngateway: {bind: 0.0.0.0}\njournal: {retain: 30}\nfoo: 1\n")
    with pytest.raises(ConfigErrors) as raised:
        load(path)
    assert len(raised.value.findings) == 3
    assert (raised.value.line, raised.value.column, raised.value.file) == (3, 19, str(path))
    assert str(raised.value).count("\n") == 2


def test_warnings_do_not_keep_a_deployment_from_loading(written: Written) -> None:
    path = written("company: acme\ngateway: {bind: 0.0.0.0}\n")
    assert [found.severity for found in check(path)] == ["warning"]
    assert load(path).gateway.bind == "0.0.0.0"
