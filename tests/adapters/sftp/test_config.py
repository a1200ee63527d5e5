"""What an operator may write for SFTP."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
from pydantic import ValidationError

from adapters.sftp.config import SftpConfig
from adapters.sftp.hostkeys import parse_pins

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl"
PRINT = "SHA256:+DiY3wvvV6TuJJhbpZisF/zLDA0zPMSvHdkr4UvCOqU"


def settings(**more: Any) -> SftpConfig:
    return SftpConfig.model_validate({"url": "sftp://edi@host/out", "password": "p", "host_key": KEY, **more})


@pytest.mark.parametrize(
    ("url", "host", "port", "folder"),
    [
        ("sftp://edi@host/out", "host", 22, "/out"),
        ("sftp://edi@host:2222/a/b/", "host", 2222, "/a/b"),
        ("sftp://edi@host", "host", 22, "."),
        ("sftp://edi@host/", "host", 22, "/"),
        ("sftp://edi@host/~/out", "host", 22, "out"),
        ("sftp://edi@host/~", "host", 22, "."),
        ("sftp://edi@[::1]/a%20b", "::1", 22, "/a b"),
    ],
)
def test_the_url_says_where(url: str, host: str, port: int, folder: str) -> None:
    made = settings(url=url)
    assert (made.host, made.port, made.folder, made.user) == (host, port, folder, "edi")


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"url": "ftp://edi@host/"}, "sftp://"),
        ({"url": "sftp://host/"}, "no user"),
        ({"url": "sftp://edi:secret@host/"}, "password:"),
        ({"url": "sftp://edi@host:0/"}, "port"),
        ({"url": "sftp://edi@host:99999/"}, "port"),
        ({"url": "sftp://edi@host/a?b"}, "%3F"),
        ({"url": "sftp://edi@host/a/../b"}, "[.][.]"),
        ({"password": None}, "password or key"),
        ({"passphrase": "p"}, "passphrase"),
        ({"host_key": "AAAA"}, "ssh-keyscan"),
        ({"host_key": ""}, "empty"),
        ({"pick_up": {"min_age": "500ms"}}, "whole seconds"),
    ],
    ids=str,
)
def test_what_cannot_work_is_refused(wrong: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said) as refused:
        settings(**wrong)
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize(
    "written", [KEY, f"{KEY} owner@host", f"[host]:2222 {KEY}", f"# from the owner\n{KEY}\n"]
)
def test_host_keys_are_read_as_openssh_writes_them(written: str) -> None:
    pins = parse_pins([written])
    assert pins.fingerprints == {PRINT}
    assert pins.algorithms == ("ssh-ed25519",)


def test_with_a_bare_fingerprint_every_algorithm_is_asked_for() -> None:
    pins = parse_pins([KEY, PRINT])
    assert pins.fingerprints == {PRINT}
    assert pins.algorithms == ()


def test_without_a_host_key_the_check_warns() -> None:
    assert [option for option, _ in settings(host_key=None).warnings()] == ["url"]
    assert settings().warnings() == []


@pytest.mark.parametrize("kind", ["files", "sftp"])
def test_looking_a_kind_up_loads_no_client_library(kind: str) -> None:
    code = (
        f"import sys, adapters.{kind} as kind; assert kind.SPEC.kind == {kind!r}; "
        "sys.exit(bool({'paramiko', 'watchdog'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=60).returncode == 0
