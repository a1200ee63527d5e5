"""Every example of the reference is one that a hub takes. That the pages are current: `make lint`."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
import yaml

from canonical.spec import ADAPTERS, FORMATS, adapter_spec, format_spec, installed
from config.load import check
from tests.certificates import Authority
from tests.servers.required import program, requires_server

ROOT = Path(__file__).parents[2]
FILE = re.compile(r"\$\{file:([^}]+)\}")
VARIABLE = re.compile(r"\$\{env:([^}]+)\}")


@pytest.fixture
def surroundings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder in which every reference of an example leads somewhere, once ``provide`` was called."""
    requires_server("sshd")  # ssh-keygen comes with it
    making = [program("ssh-keygen"), "-q", "-t", "ed25519", "-N", "", "-f", str(tmp_path / "ssh")]
    subprocess.run(making, check=True, stdin=subprocess.DEVNULL, timeout=30)
    authority = Authority.create(tmp_path / "tls")
    issued = authority.issue("localhost")
    (tmp_path / "certificate.pem").write_bytes(issued.certificate_path.read_bytes())
    (tmp_path / "key.pem").write_bytes(issued.key_path.read_bytes())
    monkeypatch.chdir(tmp_path)
    return tmp_path


def provide(folder: Path, text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Makes what an example refers to: keys, certificates, secrets, variables."""
    for name in VARIABLE.findall(text):
        monkeypatch.setenv(name, "a-value-of-some-length-for-tests")
    for name in FILE.findall(text):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix == ".pub":
            path.write_text((folder / "ssh.pub").read_text())
        elif path.suffix in (".pem", ".crt"):
            path.write_text((folder / "certificate.pem").read_text())
        elif path.suffix == ".key":
            path.write_text((folder / "key.pem").read_text())
        elif path.name.endswith("-key"):
            path.write_text((folder / "ssh").read_text())
        else:
            path.write_text("a-secret-of-some-length-for-tests")


def deployment(example: str) -> str:
    """A whole deployment around an example: the company, and the plants and partners that it names."""
    parts = yaml.safe_load(example)
    plants, partners = set[str](), set[str]()
    for adapter in parts.get("adapters", {}).values():
        plants.add(adapter.get("plant") or "aachen")
        partners |= {adapter["partner"]} if adapter.get("partner") else set()
    for route in parts.get("routes", {}).values():
        plants |= set(route.get("plants") or ())
    known: dict[str, object] = {"company": "acme"}
    known["plants"] = {name: {"name": name, "timezone": "Europe/Berlin"} for name in sorted(plants)}
    if partners and "partners" not in parts:
        known["partners"] = {name: {"ids": [{"qualifier": "14", "id": "4060000000017"}]} for name in partners}
    return yaml.safe_dump({name: value for name, value in known.items() if name not in parts}) + example


@pytest.mark.parametrize("kind", installed(ADAPTERS))
def test_an_adapters_example_is_one_that_runs(
    kind: str, surroundings: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    example = adapter_spec(kind).example
    assert example, f"{kind} has no example"
    provide(surroundings, example, monkeypatch)
    (surroundings / "crossplant.yaml").write_text(deployment(example))
    assert errors(surroundings / "crossplant.yaml") == []


@pytest.mark.parametrize("kind", installed(FORMATS))
def test_a_formats_example_is_one_that_runs(
    kind: str, surroundings: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = format_spec(kind)
    assert spec.example, f"{kind} has no example"
    parts = yaml.safe_load(spec.example)
    if "format" in parts:
        side = {"kind": "files", "plant": "brno", "path": "/srv/exchange"} | parts
        example = yaml.safe_dump({"adapters": {"exchange": side}}, sort_keys=False)
    else:
        example = spec.example
    provide(surroundings, example, monkeypatch)
    (surroundings / "crossplant.yaml").write_text(deployment(example))
    assert errors(surroundings / "crossplant.yaml") == []


def errors(path: Path) -> list[str]:
    """What keeps a deployment from running. Warnings do not: an example's route may have no source."""
    return [str(found) for found in check(path) if found.severity == "error"]
