"""The systemd unit, as systemd itself judges it."""

from __future__ import annotations

import configparser
import re
import shutil
import subprocess
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[2] / "deploy" / "systemd"
UNIT = FOLDER / "crossplant.service"
MOST_EXPOSED = 2.0
"""Of 10; what systemd calls OK ends at 3.9."""


def analyze(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """systemd-analyze, where it is installed."""
    program = shutil.which("systemd-analyze")
    if program is None:
        pytest.skip("not run: systemd-analyze is not installed (Debian: systemd)")
    return subprocess.run([program, *arguments], capture_output=True, text=True, timeout=60, check=False)


def test_systemd_understands_every_line(tmp_path: Path) -> None:
    program = tmp_path / "crossplant"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    unit = tmp_path / "crossplant.service"
    unit.write_text(UNIT.read_text().replace("/opt/crossplant/bin/crossplant", str(program)))
    done = analyze("verify", "--man=no", unit)
    ours = [line for line in done.stderr.splitlines() if "crossplant.service" in line]
    assert not ours
    assert done.returncode == 0, done.stderr


def test_it_is_hardened() -> None:
    done = analyze("security", "--offline=true", UNIT)
    found = re.search(r"Overall exposure level for \S+: (\d+\.\d)", done.stdout)
    assert found, done.stdout + done.stderr
    assert float(found[1]) <= MOST_EXPOSED


@pytest.fixture(scope="module")
def service() -> configparser.SectionProxy:
    """Its [Service] section."""
    parsed = configparser.RawConfigParser(strict=False, delimiters=("=",))
    parsed.optionxform = str  # type: ignore[assignment,method-assign]
    parsed.read(UNIT)
    return parsed["Service"]


def test_a_configuration_that_cannot_run_is_not_tried_again(service: configparser.SectionProxy) -> None:
    assert service["Restart"] == "on-failure"
    assert service["RestartPreventExitStatus"] == "2"


def test_it_stops_by_draining_and_reloads_without_stopping(service: configparser.SectionProxy) -> None:
    assert service["KillSignal"] == "SIGTERM"
    assert service["TimeoutStopSec"] == "60s"
    assert service["ExecReload"] == "/bin/kill -HUP $MAINPID"


def test_its_state_has_one_place(service: configparser.SectionProxy) -> None:
    assert service["StateDirectory"] == "crossplant"
    assert "--data /var/lib/crossplant" in service["ExecStart"]
    assert service["ProtectSystem"] == "strict"
