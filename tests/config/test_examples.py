"""What is shipped to begin with is sound: the examples, and what ``crossplant init`` writes."""

from __future__ import annotations

import stat
from pathlib import Path

import jsonschema
import pytest

from canonical.errors import ConfigError
from config.crosswalks import read_crosswalks
from config.init import init
from config.load import check, load
from config.schema import schema
from tests.config.test_schema import as_written

EXAMPLES = sorted((Path(__file__).parents[2] / "config/examples").glob("*/deployment.yaml"))
ENVIRONMENT = {
    "MQTT_URL": "mqtt://127.0.0.1:1883",
    "ORDERS_URL": "http://127.0.0.1:9000",
    "ERP_URL": "http://127.0.0.1:9000",
    "MES_SECRET": "not-a-secret-of-anybody",
}


@pytest.mark.parametrize("path", EXAMPLES, ids=[path.parent.name for path in EXAMPLES])
def test_an_example_has_no_findings(path: Path) -> None:
    assert [str(found) for found in check(path, ENVIRONMENT)] == []
    validator = jsonschema.Draft202012Validator(schema())
    assert list(validator.iter_errors(as_written(path.read_text(encoding="utf-8")))) == []


def test_there_are_examples() -> None:
    assert [path.parent.name for path in EXAMPLES] == ["first", "patterns"]


def test_what_init_writes_is_sound(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "deployment"
    written = init(folder)
    assert sorted(written) == sorted(path for path in folder.rglob("*") if path.is_file())
    assert [str(found) for found in check(folder / "deployment.yaml")] == []
    deployment = load(folder / "deployment.yaml")
    assert deployment.adapters["mes"].receives
    zones = {name: plant.timezone for name, plant in deployment.plants.items()}
    assert {row.system for row in read_crosswalks(deployment.crosswalks, zones)} == {"mes", "erp"}
    validator = jsonschema.Draft202012Validator(schema())
    text = (folder / "deployment.yaml").read_text(encoding="utf-8")
    assert list(validator.iter_errors(as_written(text))) == []


def test_its_other_adapters_are_sound_when_the_comment_goes(tmp_path: Path) -> None:
    init(tmp_path)
    file = tmp_path / "deployment.yaml"
    lines = file.read_text(encoding="utf-8").splitlines()
    begin = next(number for number, line in enumerate(lines) if line == "  # line1:")
    end = next(number for number, line in enumerate(lines) if number > begin and not line.startswith("  #"))
    lines[begin:end] = [line.replace("  # ", "  ", 1) for line in lines[begin:end]]
    file.write_text("\n".join(lines), encoding="utf-8")
    assert [str(found) for found in check(file)] == []
    assert "line1" in load(file).adapters


def test_its_secrets_are_its_own_and_hidden(tmp_path: Path) -> None:
    secrets = []
    for name in ("one", "two"):
        init(tmp_path / name)
        secret = tmp_path / name / "secrets/mes-webhook"
        assert stat.S_IMODE(secret.stat().st_mode) == 0o600
        secrets.append(secret.read_text(encoding="ascii").strip())
    assert len(set(secrets)) == 2
    assert all(len(secret) >= 40 for secret in secrets)
    assert "secrets/" in (tmp_path / "one/.gitignore").read_text(encoding="utf-8").splitlines()


def test_init_overwrites_nothing(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text("mine", encoding="utf-8")
    with pytest.raises(ConfigError, match=r"README.md is there already; choose an empty folder"):
        init(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["README.md"]
    assert (tmp_path / "README.md").read_text(encoding="utf-8") == "mine"


def test_init_says_when_it_cannot_write(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(ConfigError, match=r"cannot write .*file.*: "):
        init(tmp_path / "file" / "inside")
