"""The wheel, as somebody installs it: into an environment of its own, used from any folder."""

from __future__ import annotations

import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "config" / "examples" / "first" / "deployment.yaml"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel that this tree gives."""
    folder = tmp_path_factory.mktemp("wheel")
    building = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(folder)]
    done = subprocess.run(building, cwd=ROOT, capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, done.stderr
    [built] = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment with the wheel, which borrows the packages it needs from the tests' own."""
    folder = tmp_path_factory.mktemp("installed")
    venv.create(folder, with_pip=False)
    uv = Path(sys.executable).with_name("uv")
    installing = [
        str(uv),
        "pip",
        "install",
        "--quiet",
        "--python",
        str(folder / "bin" / "python"),
        "--no-deps",
    ]
    done = subprocess.run(
        [*installing, "--no-index", "--offline", "--no-cache", str(wheel)],
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    [packages] = folder.glob("lib/python*/site-packages")
    (packages / "borrowed.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return folder


@pytest.fixture
def elsewhere(tmp_path: Path) -> Path:
    """A folder with files that are named as our packages are."""
    for name in ("config", "gateway", "router"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('this is the wrong module')\n")
    return tmp_path


def run(installed: Path, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """The installed command in a folder."""
    return subprocess.run(
        [installed / "bin" / "crossplant", *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )


def test_it_holds_everything_that_is_needed_and_nothing_else(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    for needed in (
        "config/templates/deployment.yaml",
        "config/examples/demo/crossplant.yaml",
        "gateway/py.typed",
    ):
        assert needed in names
    tops = {name.split("/")[0] for name in names if ".dist-info" not in name}
    assert tops == {"adapters", "canonical", "config", "deadletter", "gateway", "router", "simulator"}


def test_files_of_the_folder_it_is_called_in_do_not_get_in_the_way(installed: Path, elsewhere: Path) -> None:
    told = run(installed, elsewhere, "--version")
    assert (told.returncode, told.stderr) == (0, "")
    assert told.stdout.startswith("crossplant ")


def test_it_checks_a_deployment_with_all_its_kinds(installed: Path, elsewhere: Path) -> None:
    made = run(installed, elsewhere, "init", "hub")
    assert made.returncode == 0, made.stderr
    checked = run(installed, elsewhere, "check", "--config", "hub")
    assert checked.returncode == 0, checked.stdout + checked.stderr
    kinds = run(installed, elsewhere, "adapters", "--json")
    assert kinds.returncode == 0
    for kind in ("opcua", "mqtt", "sftp", "edifact"):
        assert f'"{kind}"' in kinds.stdout
