"""The commands that need no hub, and what holds for all: help, exit codes, where things are written."""

import json
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import jsonschema
import pytest

from tests.gateway.commands import ARGV, crossplant
from tests.servers import Process

COMMANDS = [
    ("demo",),
    ("init",),
    ("run",),
    ("check",),
    ("doctor",),
    ("test",),
    ("probe",),
    ("tap",),
    ("schema", "config"),
    ("schema", "event"),
    ("schema", "all"),
    ("adapters",),
    ("events",),
    ("trace",),
    ("dead-letters", "list"),
    ("dead-letters", "show"),
    ("dead-letters", "retry"),
    ("dead-letters", "discard"),
    ("lanes", "release"),
    ("lanes", "show"),
    ("routes", "list"),
    ("crosswalks", "list"),
    ("crosswalks", "add"),
    ("crosswalks", "approve"),
    ("crosswalks", "retire"),
    ("crosswalks", "history"),
    ("crosswalks", "candidates"),
    ("crosswalks", "import"),
    ("keys", "create"),
    ("keys", "list"),
    ("keys", "rotate"),
    ("keys", "revoke"),
]
SOUND = "company: acme\ngateway: {{port: {port}}}\n"


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_every_command_explains_itself_with_an_example(command: tuple[str, ...]) -> None:
    done = crossplant(*command, "--help")
    assert done.code == 0
    assert f"crossplant {' '.join(command)}" in done.out.partition("\n")[2]


def test_help_loads_nothing_heavy() -> None:
    heavy = "fastapi, pydantic, aiohttp, asyncua, uvicorn, cel_expr_python, apsw"
    script = (
        "import sys\nfrom gateway.cli import app\n"
        "try:\n    app(['--help'])\nexcept SystemExit:\n    pass\n"
        f"loaded = [name for name in '{heavy}'.split(', ') if name in sys.modules]\n"
        "sys.exit(f'loaded: {loaded}' if loaded else 0)"
    )
    done = subprocess.run([sys.executable, "-P", "-c", script], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr


def test_the_version_is_told() -> None:
    assert crossplant("--version").out.startswith("crossplant 0.")


@pytest.mark.parametrize(
    "arguments",
    [
        ("--nonsense",),
        ("nonsense",),
        ("check",),
        ("schema", "event", "inventory.move"),
        ("adapters", "telnet"),
    ],
)
def test_wrong_usage_is_2_and_told_on_stderr(arguments: tuple[str, ...]) -> None:
    done = crossplant(*arguments)
    assert done.code == 2
    assert done.err
    assert not done.out
    assert "Traceback" not in done.err


def test_a_folder_with_modules_of_our_names_shadows_nothing(tmp_path: Path) -> None:
    for name in ("config", "gateway", "router", "canonical"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('the wrong module')\n")
    assert crossplant("check", "--config", tmp_path / "none.yaml", cwd=tmp_path).code == 2


# ── check ───────────────────────────────────────────────────────────────────────────────────────


def test_check_is_silent_on_stdout_when_all_is_well(tmp_path: Path) -> None:
    config = tmp_path / "hub.yaml"
    config.write_text(SOUND.format(port=8080))
    done = crossplant("check", "--config", config)
    assert (done.code, done.out) == (0, "")
    assert "nothing to mend" in done.err


def test_check_tells_each_finding_with_its_place(tmp_path: Path) -> None:
    config = tmp_path / "hub.yaml"
    config.write_text("company: acme\nplant: {}\n")
    done = crossplant("check", "--config", config)
    assert done.code == 2
    assert done.out.startswith(f"{config}:2:1: unknown key 'plant'")
    assert "1 error, 0 warnings" in done.err


def test_check_for_machines_is_json_on_stdout_alone(tmp_path: Path) -> None:
    config = tmp_path / "hub.yaml"
    config.write_text("company: acme\nplant: {}\n")
    done = crossplant("check", "--config", config, "--json")
    assert done.code == 2
    assert done.json()["errors"] == 1
    (finding,) = done.json()["findings"]
    assert (finding["file"], finding["line"], finding["column"]) == (str(config), 2, 1)
    assert finding["severity"] == "error"
    assert not done.err


# ── schema, adapters, init ──────────────────────────────────────────────────────────────────────


def test_the_schema_of_an_event_accepts_such_an_event() -> None:
    schema = crossplant("schema", "event", "inventory.reorder.triggered").json()
    event = {"specversion": "1.0", "id": "1", "source": "/plants/brno/adapters/wms", "type": schema["title"]}
    with pytest.raises(jsonschema.ValidationError, match="'data' is a required property"):
        jsonschema.validate(event, schema)


def test_every_schema_is_written_where_asked(tmp_path: Path) -> None:
    done = crossplant("schema", "all", tmp_path / "schemas")
    written = [Path(line) for line in done.out.splitlines()]
    assert tmp_path / "schemas/events/inventory.moved.v1.json" in written
    assert tmp_path / "schemas/crossplant.schema.json" in written
    for path in written:
        jsonschema.Draft202012Validator.check_schema(json.loads(path.read_text()))


def test_a_folder_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("")
    done = crossplant("schema", "all", tmp_path / "taken")
    assert done.code == 1
    assert "cannot be written" in done.err


def test_what_is_installed_is_listed() -> None:
    listed = crossplant("adapters", "--json").json()
    assert {"mqtt", "opcua", "rest"} <= {one["kind"] for one in listed["adapters"]}
    assert {"cloudevents", "json", "value"} <= {one["kind"] for one in listed["formats"]}


@pytest.mark.parametrize("kind", ["mqtt", "opcua", "rest", "json", "value", "cloudevents"])
def test_a_kind_tells_its_options_and_an_example(kind: str) -> None:
    done = crossplant("adapters", kind)
    assert done.code == 0
    assert "Options" in done.out
    assert "Example:" in done.out


def test_options_tell_type_default_and_unit() -> None:
    told = {one["name"]: one for one in crossplant("adapters", "mqtt", "--json").json()["options"]}
    assert told["keepalive"]["default"] == "30s"
    assert told["keepalive"]["unit"] == "duration"
    assert told["url"]["required"] is True
    assert told["password"]["type"] == "secret"
    assert told["subscribe[].qos"]["type"] == "0 | 1"


def test_options_within_a_choice_name_the_choice() -> None:
    told = crossplant("adapters", "rest", "--json").json()
    names = [one["name"] for one in told["options"]]
    assert len(names) == len(set(names))
    assert "webhook.verify(hmac).header" in names
    assert "path" in [one["name"] for one in told["target_options"]]


@pytest.mark.parametrize("kind", ["mqtt", "opcua", "rest"])
def test_the_example_of_an_adapter_is_sound(kind: str, tmp_path: Path) -> None:
    """Beside plants, secrets and targets, which an example leaves to the deployment."""
    example = crossplant("adapters", kind, "--json").json()["example"]
    plants = "plants:\n" + "".join(f"  {name}: {{name: X, timezone: UTC}}\n" for name in ("aachen", "brno"))
    (tmp_path / "hub.yaml").write_text(f"company: acme\n{plants}{example}")
    findings = crossplant("check", "--config", tmp_path / "hub.yaml", "--json").json()["findings"]
    assert [one for one in findings if "unknown key" in one["message"] or "must be" in one["message"]] == []


def test_init_writes_a_deployment_that_check_accepts(tmp_path: Path) -> None:
    made = crossplant("init", tmp_path / "hub")
    assert made.code == 0
    assert all(Path(line).is_file() for line in made.out.splitlines())
    assert crossplant("check", "--config", tmp_path / "hub").code == 0
    again = crossplant("init", tmp_path / "hub")
    assert again.code == 2
    assert "is there already" in again.err


# ── run ─────────────────────────────────────────────────────────────────────────────────────────


def test_a_broken_deployment_does_not_run(tmp_path: Path) -> None:
    config = tmp_path / "hub.yaml"
    config.write_text("company: acme\nplant: {}\n")
    done = crossplant("run", "--config", config, "--data", tmp_path / "data")
    assert done.code == 2
    assert f"{config}:2:1: unknown key 'plant'" in done.err
    assert not (tmp_path / "data").exists()


def test_a_taken_port_is_told(tmp_path: Path, free_port: Callable[[], int]) -> None:
    config = tmp_path / "hub.yaml"
    port = free_port()
    config.write_text(SOUND.format(port=port))
    with socket.create_server(("127.0.0.1", port)):
        done = crossplant("run", "--config", config, "--data", tmp_path / "data")
    assert done.code == 2
    assert f"port {port} of 127.0.0.1 is taken" in done.err


def test_a_second_hub_on_one_data_folder_is_refused(tmp_path: Path, free_port: Callable[[], int]) -> None:
    with _started(tmp_path, free_port()):
        second = tmp_path / "second.yaml"
        second.write_text(SOUND.format(port=free_port()))
        done = crossplant("run", "--config", second, "--data", tmp_path / "data")
    assert done.code == 2
    assert "another hub" in done.err or "second hub" in done.err
    assert "Traceback" not in done.err


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_in_order(
    tmp_path: Path, free_port: Callable[[], int], number: signal.Signals
) -> None:
    with _started(tmp_path, free_port()) as process:
        assert process.running is not None
        process.running.send_signal(number)
        assert process.running.wait(20) == 0
        log = process.log_path.read_text()
    assert [json.loads(line)["event"] for line in log.splitlines()] == [
        "hub_ready",
        "hub_stopping",
        "hub_stopped",
    ]


def test_sighup_takes_a_sound_change_over_and_refuses_another(
    tmp_path: Path, free_port: Callable[[], int]
) -> None:
    port = free_port()
    sound = SOUND.format(port=port) + "plants:\n  aachen: {name: Aachen, timezone: UTC}\n"
    with _started(tmp_path, port) as process:
        assert process.running is not None
        for text, event in (
            (sound, "configuration_reloaded"),
            ("company: acme\nplant: {}\n", "configuration_refused"),
        ):
            (tmp_path / "hub.yaml").write_text(text)
            process.running.send_signal(signal.SIGHUP)
            _until_logged(process, event)
        assert "unknown key 'plant'" in process.log_path.read_text()
        process.running.send_signal(signal.SIGTERM)
        assert process.running.wait(20) == 0


def _until_logged(process: Process, event: str) -> None:
    process.until(lambda: event in process.log_path.read_text() or None, event)


class _started:  # noqa: N801 - reads as a context
    """``crossplant run`` on a port, ready; ended at the end."""

    def __init__(self, folder: Path, port: int) -> None:
        config = folder / "hub.yaml"
        config.write_text(SOUND.format(port=port))
        argv = [*ARGV, "run", "--config", str(config), "--data", str(folder / "data")]
        self.process = Process(argv=argv, out_path=folder / "out", log_path=folder / "log")

    def __enter__(self) -> Process:
        self.process.start()
        _until_logged(self.process, "hub_ready")
        return self.process

    def __exit__(self, *_: object) -> None:
        self.process.end()
