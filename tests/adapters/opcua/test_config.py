"""What may be written for `kind: opcua`, and what is said of the rest."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from adapters.opcua import SPEC
from adapters.opcua.config import OpcuaConfig
from adapters.opcua.durable import Durable, decode_durable, encode_durable, fingerprint
from adapters.opcua.nodes import parse_node
from canonical.spec import adapter_spec
from tests.adapters.opcua.running import options

TAG = {"node": "nsu=urn:x;s=a", "tag": "a"}
BASE: dict[str, Any] = {"url": "opc.tcp://host", "anonymous": True, "equipment": "acme/a", "tags": [TAG]}


def test_the_kind_is_installed() -> None:
    assert adapter_spec("opcua") is SPEC


def test_the_client_library_loads_with_the_first_source_only() -> None:
    program = (
        "import sys, adapters.opcua; sys.exit('asyncua' in sys.modules or 'cryptography' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False, timeout=30).returncode == 0


def test_every_option_is_described() -> None:
    for model in (OpcuaConfig, *_inner()):
        for name, field in model.model_fields.items():
            assert field.description, f"{model.__name__}.{name}"


def _inner() -> list[Any]:
    from adapters.opcua.config import Security, Tag

    return [Security, Tag]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"url": "http://host"}, "write opc.tcp://HOST:PORT/PATH"),
        ({"url": "opc.tcp://user:pw@host"}, "do not belong into the url"),
        ({"anonymous": False}, "needs username and password, or anonymous: true"),
        ({"username": "u", "password": "p"}, "exclude each other"),
        ({"anonymous": False, "username": "u"}, "username needs a password"),
        ({"security": {"policy": "Basic128Rsa15"}}, "Basic256Sha256"),
        ({"security": {"mode": "None"}}, "SignAndEncrypt"),
        ({"tags": []}, "needs tags"),
        ({"tags": [TAG, TAG]}, "two tags called 'a'"),
        ({"equipment": None}, "needs an equipment"),
        ({"equipment": "a b"}, "white space"),
        ({"tags": [{**TAG, "node": "Oil.Temperature"}]}, "is not a NodeId; write it like nsu="),
        ({"tags": [{**TAG, "deadband": "many"}]}, "deadband"),
        ({"tags": [{**TAG, "states": {"0": "running"}}]}, "execute"),
        ({"tags": [{**TAG, "color": "red"}]}, "Extra inputs are not permitted"),
        ({"publishing_interval": 5}, "needs its unit"),
        ({"lifetime_count": 20}, "3 × keep_alive_count"),
        ({"stale_after": "2s"}, "stale_after must be longer than"),
        ({"min_backoff": "2m"}, "longer than max_backoff"),
        ({"tags_file": "absent.csv"}, "cannot be read"),
    ],
)
def test_wrong_options_are_explained(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError) as refused:
        OpcuaConfig.model_validate({**BASE, **change})
    assert message in str(refused.value)


def test_protection_is_the_default() -> None:
    settings = OpcuaConfig.model_validate(BASE)
    assert settings.security != "none"
    assert (settings.security.policy, settings.security.mode) == ("Basic256Sha256", "SignAndEncrypt")
    assert settings.url == "opc.tcp://host:4840"


def test_what_is_risky_is_warned_about() -> None:
    settings = options("opc.tcp://x", {"node": "ns=2;s=a", "tag": "a"}, queue_size=1)
    assert [option for option, _ in settings.warnings()] == [
        "security",
        "anonymous",
        "queue_size",
        "tags.0.node",
    ]


def test_a_password_is_not_shown() -> None:
    login = {**BASE, "anonymous": False, "username": "u", "password": "s3cret"}
    assert "s3cret" not in repr(OpcuaConfig.model_validate(login))


def test_a_table_of_tags_is_read(tmp_path: Path) -> None:
    (tmp_path / "tags.csv").write_text(
        "\ufeffnode;tag;deadband;states;sampling_interval\nnsu=urn:x;s=a;b;;;\n".replace(
            "urn:x;s=a", "urn:x%3Bs"
        ).replace("nsu=urn:x%3Bs", "i=2258")
        + "i=2259;c;2%;0=stopped|1=execute;1s\n"
        + "i=2260;d;0.5;;\n"
    )
    settings = OpcuaConfig.model_validate({**BASE, "tags_file": "tags.csv"}, context={"folder": tmp_path})
    assert [tag.tag for tag in settings.tags] == ["a", "b", "c", "d"]
    assert settings.tags[2].states == {"0": "stopped", "1": "execute"}
    assert settings.tags[2].sampling_interval == 1.0
    assert [tag.deadband for tag in settings.tags] == [None, None, "2%", 0.5]


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ("node,name\ni=1,a\n", "tags.csv:1: the columns must be of"),
        ("node,tag\ni=1,a,b\n", "tags.csv:2: the row has more or fewer cells"),
        ("node,tag,states\ni=1,a,stopped\n", "tags.csv:2: states are written like"),
        ("", "tags.csv:1: the columns"),
        (b"\xff\xfe", "cannot be read"),
    ],
)
def test_a_wrong_table_is_explained_with_its_line(tmp_path: Path, table: str | bytes, message: str) -> None:
    path = tmp_path / "tags.csv"
    path.write_bytes(table if isinstance(table, bytes) else table.encode())
    with pytest.raises(ValidationError) as refused:
        OpcuaConfig.model_validate({**BASE, "tags_file": str(path)})
    assert message in str(refused.value)


def test_nodes_are_found_by_the_uri_of_their_namespace() -> None:
    node = parse_node("nsu=http://x/a%3Bb;s=Line1.Temperature;raw")
    assert (node.uri, node.identifier) == ("http://x/a;b", "Line1.Temperature;raw")
    assert node.namespace(["http://opcfoundation.org/UA/", "other", "http://x/a;b"]) == 2
    assert node.namespace(["http://opcfoundation.org/UA/"]) is None
    assert parse_node("ns=2;i=70000").namespace(["a", "b", "c"]) == 2
    assert parse_node("ns=2;i=70000").namespace(["a", "b"]) is None
    assert parse_node("i=2258").namespace(["a"]) == 0
    assert parse_node("ns=1;b=AP8=").identifier == b"\x00\xff"


@pytest.mark.parametrize(
    "text", ["", "s=", "ns=x;s=a", "ns=70000;i=1", "i=-1", "i=4294967296", "g=1", "b=?", "nsu=;s=a", "x=1"]
)
def test_what_is_no_node_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"NodeId|namespace"):
        parse_node(text)


def test_what_outlives_the_process_is_read_back() -> None:
    durable = Durable(epoch="e", subscription_id=5, server_started_at="", wishes="w", quiet_s=1.0, last=7)
    assert decode_durable(encode_durable(durable)) == durable
    assert decode_durable(None) is None
    assert decode_durable(b"rubbish") is None


def test_the_fingerprint_changes_with_what_is_subscribed() -> None:
    base = OpcuaConfig.model_validate(BASE)
    same = OpcuaConfig.model_validate({**BASE, "max_backoff": "5m", "tags": [{**TAG, "tag": "renamed"}]})
    other = OpcuaConfig.model_validate({**BASE, "tags": [{**TAG, "deadband": 1}]})
    assert fingerprint(base) == fingerprint(same)
    assert fingerprint(base) != fingerprint(other)
