"""docker-compose.yml and what belongs to it, held against the official schema and our own rules."""

from __future__ import annotations

import json
import os
import re
import stat
import subprocess
from importlib import resources
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from tests.servers.required import program, requires_server

ROOT = Path(__file__).parents[2]
COMPOSE = ROOT / "docker-compose.yml"
FOLDER = ROOT / "deploy" / "compose"
PINNED = re.compile(r"^[\w.-]+(\.[\w.-]+)+/[\w./-]+:v?\d+\.\d+[\w.-]*$")


class Strict(yaml.SafeLoader):
    """YAML in which a key stands once."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [key.value for key, _ in node.value if key.tag != "tag:yaml.org,2002:merge"]
        twice = {key for key in keys if keys.count(key) > 1}
        assert not twice, f"{node.start_mark}: written twice: {twice}"
        return super().construct_mapping(node, deep=deep)


def load(path: Path) -> Any:
    """A YAML file."""
    return yaml.load(path.read_text(), Strict)


@pytest.fixture(scope="module")
def services() -> dict[str, Any]:
    """The services as Compose sees them, merge keys followed."""
    found: dict[str, Any] = load(COMPOSE)["services"]
    return found


def test_the_file_is_what_compose_takes() -> None:
    schema = json.loads(
        (resources.files("check_jsonschema") / "builtin_schemas/vendor/compose-spec.json").read_text()
    )
    jsonschema.validators.validator_for(schema)(schema).validate(load(COMPOSE))


@pytest.mark.parametrize(
    "path", sorted(FOLDER.rglob("*.y*ml")), ids=lambda path: str(path.relative_to(FOLDER))
)
def test_every_yaml_file_can_be_read_and_writes_no_key_twice(path: Path) -> None:
    assert load(path)


def test_every_image_is_built_here_or_pinned_to_a_release(services: dict[str, Any]) -> None:
    for name, service in services.items():
        assert "build" in service or PINNED.match(service["image"]), name


def test_nothing_listens_beyond_this_machine(services: dict[str, Any]) -> None:
    for name, service in services.items():
        for port in service.get("ports", ()):
            assert port.startswith("127.0.0.1:"), f"{name} opens {port} to everybody"
        assert service.get("network_mode") != "host"


def test_nobody_gets_more_rights_than_it_needs(services: dict[str, Any]) -> None:
    for name, service in services.items():
        assert service["cap_drop"] == ["ALL"], name
        assert "no-new-privileges:true" in service["security_opt"], name
        assert not service.get("privileged"), name
        assert not any("docker.sock" in volume for volume in service.get("volumes", ())), name
    assert services["hub"]["read_only"] is True
    assert services["hub"]["stop_grace_period"] == "60s"


def test_no_secret_stands_in_the_files(services: dict[str, Any]) -> None:
    for service in services.values():
        for name, value in service.get("environment", {}).items():
            assert not re.search(r"(?i)pass|secret|token|key", name) or value.startswith("/run/secrets/")


def test_every_secret_and_mount_has_its_file(services: dict[str, Any], tmp_path: Path) -> None:
    make_secrets(tmp_path / "secrets")
    document = load(COMPOSE)
    files = {name: Path(entry["file"]) for name, entry in document["secrets"].items()}
    for file in files.values():
        assert file.parent == Path("deploy/compose/secrets")
        assert (tmp_path / "secrets" / file.name).exists(), f"secrets.sh does not make {file.name}"
    used = {
        entry if isinstance(entry, str) else entry["source"]
        for service in services.values()
        for entry in service.get("secrets", ())
    }
    assert used == set(files)
    for service in services.values():
        for volume in service.get("volumes", ()):
            source = volume.split(":")[0]
            assert not source.startswith(".") or (ROOT / source).exists(), volume
            assert source.startswith(".") or source in document["volumes"], volume


def make_secrets(folder: Path) -> dict[str, str]:
    """Runs secrets.sh; name → content."""
    requires_server("sshd")  # ssh-keygen comes with it
    script = FOLDER / "secrets.sh"
    subprocess.run([script, folder], check=True, stdin=subprocess.DEVNULL, capture_output=True, timeout=60)
    return {path.name: path.read_text() for path in folder.iterdir()}


def test_secrets_are_made_once_differ_and_are_for_nobody_else(tmp_path: Path) -> None:
    folder = tmp_path / "secrets"
    first = make_secrets(folder)
    assert make_secrets(folder) == first
    assert make_secrets(tmp_path / "others")["mqtt-password"] != first["mqtt-password"]
    made = [first[name] for name in ("mqtt-password", "amqp-password", "grafana-admin")]
    assert len(set(made)) == len(made)
    assert all(len(secret) == 48 for secret in made)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert first["mqtt-password"] not in first["mqtt-passwords"]
    assert first["amqp-password"] not in first["amqp-definitions.json"]


def test_secrets_stay_out_of_the_repository_and_of_the_image() -> None:
    assert "/secrets/" in (FOLDER / ".gitignore").read_text().splitlines()
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    assert "*" in ignored
    assert not any(line.startswith("!deploy/compose") for line in ignored)


def test_sshd_takes_its_settings(tmp_path: Path) -> None:
    make_secrets(tmp_path)
    key = tmp_path / "host_key"
    key.write_text((tmp_path / "sftp-host-key").read_text())
    key.chmod(0o600)
    settings = (FOLDER / "sftp" / "sshd_config").read_text().replace("/run/sshd/host_key", str(key))
    (tmp_path / "sshd_config").write_text(settings)
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
    shown = subprocess.run(
        [program("sshd"), "-T", "-f", tmp_path / "sshd_config", "-C", "user=nordstahl,host=x,addr=127.0.0.1"],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert shown.returncode == 0, shown.stderr
    told = shown.stdout.lower().splitlines()
    for line in ("passwordauthentication no", "permitrootlogin no", "chrootdirectory /srv/nordstahl"):
        assert line in told


@pytest.mark.parametrize("script", sorted(FOLDER.glob("*.sh")), ids=lambda path: path.name)
def test_scripts_can_be_run(script: Path) -> None:
    assert os.access(script, os.X_OK)
    subprocess.run(["bash", "-n", script], check=True, timeout=30)
