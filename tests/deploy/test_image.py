"""The image, as far as it can be judged without building one."""

from __future__ import annotations

import io
import re
import tomllib
from fnmatch import fnmatch
from pathlib import Path, PurePosixPath
from typing import Any

import pytest
from dockerfile_parse import DockerfileParser

ROOT = Path(__file__).parents[2]
FILES = ["Dockerfile", "deploy/compose/sftp/Dockerfile"]
PINNED = re.compile(r"^[\w.-]+(\.[\w.-]+)+/[\w./-]+:[\w-]*\d+\.\d+[\w.-]*$")
LOCKS = ("deploy/container/requirements.lock", "deploy/container/build.lock")


def instructions(file: str) -> list[dict[str, Any]]:
    """Its instructions in order, comments left out."""
    parser = DockerfileParser(fileobj=io.StringIO((ROOT / file).read_text()))
    return [dict(found) for found in parser.structure if found["instruction"] != "COMMENT"]


def values(file: str, name: str) -> list[str]:
    """What stands behind each instruction of that name."""
    return [str(found["value"]) for found in instructions(file) if found["instruction"] == name]


def sent(path: str) -> bool:
    """Whether .dockerignore lets a path of the repository through: the last line that fits decides."""
    lets = True
    for line in (ROOT / ".dockerignore").read_text().splitlines():
        pattern = line.strip()
        if not pattern or pattern.startswith("#"):
            continue
        wanted = pattern.startswith("!")
        pattern = pattern.removeprefix("!")
        parts = PurePosixPath(path)
        names = [str(parts), *(str(parent) for parent in parts.parents if str(parent) != ".")]
        everywhere = pattern.startswith("**/")
        judged = [PurePosixPath(name).name for name in names] if everywhere else names
        if any(fnmatch(name, pattern.removeprefix("**/")) for name in judged):
            lets = wanted
    return lets


def copied(file: str) -> list[str]:
    """What comes from the repository."""
    found = []
    for value in values(file, "COPY"):
        if "--from=" not in value:
            found += value.split()[:-1]
    return found


@pytest.mark.parametrize("file", FILES)
def test_images_are_pinned_to_a_release(file: str) -> None:
    stages = set[str]()
    for value in values(file, "FROM"):
        image, _, stage = value.partition(" AS ")
        assert image in stages or PINNED.match(image), f"{file}: {image} is not pinned"
        stages.add(stage)


def test_the_hub_runs_as_a_user_without_rights() -> None:
    whole = instructions("Dockerfile")
    stage = whole[max(at for at, found in enumerate(whole) if found["instruction"] == "FROM") :]
    users = [found["value"] for found in stage if found["instruction"] == "USER"]
    assert len(users) == 1
    assert re.fullmatch(r"[1-9]\d{4,}:[1-9]\d{4,}", users[0]), "a number: orchestrators cannot judge a name"
    after = stage[[found["instruction"] for found in stage].index("USER") :]
    assert not [found for found in after if found["instruction"] in ("RUN", "COPY", "ADD")]


@pytest.mark.parametrize("file", FILES)
def test_nothing_is_fetched_that_no_hash_or_release_pins(file: str) -> None:
    assert not values(file, "ADD")
    for command in values(file, "RUN"):
        assert not re.search(r"\b(curl|wget|git clone)\b", command)
        for install in re.findall(r"pip[^&]*? install [^&]*", command):
            assert "--require-hashes" in install or "--no-index" in install, install


@pytest.mark.parametrize("file", FILES)
def test_what_is_copied_is_there_and_reaches_the_builder(file: str) -> None:
    folder = (ROOT / file).parent
    for source in copied(file):
        assert (folder / source).exists(), f"{file} copies {source}, which is not there"
        assert folder != ROOT or sent(source), f".dockerignore keeps {source} back"


def test_the_builder_gets_everything_that_the_wheel_is_made_of() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    wanted = set(project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"])
    wanted |= {project["project"]["readme"], *project["project"]["license-files"], "pyproject.toml"}
    assert wanted <= set(copied("Dockerfile"))


@pytest.mark.parametrize("path", [".git/config", ".venv/bin/python", "tests/hub.py", "data/journal.sqlite"])
def test_nothing_else_reaches_the_builder(path: str) -> None:
    assert not sent(path)
    assert not sent("gateway/__pycache__/app.cpython-313.pyc")


def test_it_stops_on_sigterm_and_says_whether_it_lives() -> None:
    assert values("Dockerfile", "STOPSIGNAL") == ["SIGTERM"]
    [health] = values("Dockerfile", "HEALTHCHECK")
    assert "/livez" in health
    [entry] = values("Dockerfile", "ENTRYPOINT")
    assert entry.startswith("["), "a shell in between would keep the signal to itself"


def test_no_secret_is_baked_in() -> None:
    for file in FILES:
        settings = " ".join(values(file, "ENV") + values(file, "ARG") + values(file, "LABEL"))
        assert not re.search(r"(?i)password|secret|token|_key", settings)


@pytest.mark.parametrize("lock", LOCKS)
def test_the_image_gets_releases_that_the_tests_ran_with(lock: str) -> None:
    tested = set(re.findall(r"^([\w.-]+==\S+)", (ROOT / "requirements.lock").read_text(), re.MULTILINE))
    ours = set(re.findall(r"^([\w.-]+==\S+)", (ROOT / lock).read_text(), re.MULTILINE))
    assert ours
    assert ours <= tested, "run: make lock"


def test_the_image_gets_no_tools_of_developers() -> None:
    text = (ROOT / LOCKS[0]).read_text()
    assert not re.findall(r"^(pytest|mypy|ruff|playwright|hatchling|amqtt|pip|uv)==", text, re.MULTILINE)
