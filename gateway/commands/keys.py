"""``crossplant keys``: API keys, through the gateway or on the hub's own machine."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from gateway.commands.asking import DEFAULT_URL, AsJson, KeyFile, Reason, Url, ask, because

if TYPE_CHECKING:
    from gateway.commands.client import Client
    from gateway.keys import Created, Key

__all__ = ["keys"]

T = TypeVar("T")

keys = typer.Typer(no_args_is_help=True)

Data = Annotated[
    Path | None,
    typer.Option(
        "--data",
        help="On the hub's own machine: its data folder. Needs no key; the hub may be running or not.",
        metavar="DIR",
    ),
]
Which = Annotated[str, typer.Argument(help="The key's name or id.", metavar="KEY")]


@keys.command(short_help="Makes a key and prints it once.")
def create(
    name: Annotated[
        str, typer.Argument(help="Who or what uses it; free among the keys in use.", metavar="NAME")
    ],
    role: Annotated[
        list[str],
        typer.Option(
            help="viewer, operator, integrator, steward, approver, admin or monitor; several are fine."
        ),
    ],
    plant: Annotated[
        list[str] | None, typer.Option(help="Only this plant; several are fine. Default: all.")
    ] = None,
    domain: Annotated[
        list[str] | None, typer.Option(help="Only this domain; several are fine. Default: all.")
    ] = None,
    expires: Annotated[
        str, typer.Option(help="How long it is valid, such as 90d or 12h. Default: until it is revoked.")
    ] = "",
    reason: Reason = "",
    data: Data = None,
    url: Url = DEFAULT_URL,
    key_file: KeyFile = None,
    *,
    as_json: AsJson = False,
) -> None:
    """Makes a key. Its text goes to stdout and is never shown again; the hub keeps a hash.

    \b
    crossplant keys create me --role admin --data data             the first key, on the hub's machine
    crossplant keys create mes --role integrator --plant aachen --expires 90d
    """
    wanted: dict[str, Any] = {"name": name, "roles": role, "plants": plant or None, "domains": domain or None}
    wanted |= {"expires_at": _end(expires), **because(reason)}
    if data is None:
        made = ask(url, key_file).post(
            "/v1/keys", {key: value for key, value in wanted.items() if value is not None}
        )
    else:
        from gateway import local

        made = _made(_here(data, lambda folder: local.create(folder, _new_key(wanted))))
    _show_made(made, as_json=as_json)


@keys.command("list", short_help="Lists the keys, without their secrets.")
def list_keys(
    data: Data = None, url: Url = DEFAULT_URL, key_file: KeyFile = None, *, as_json: AsJson = False
) -> None:
    """Lists the keys: what they may do, until when, and when they were last used.

    \b
    crossplant keys list --data data
    """
    from gateway.commands.terminal import moment, show_json, show_table

    if data is None:
        found = list(ask(url, key_file).items("/v1/keys"))
    else:
        from gateway import local

        found = [_plain(key) for key in _here(data, local.listed)]
    if as_json:
        show_json(found)
        return
    show_table(
        ("name", "id", "roles", "plants", "domains", "state", "expires", "last used"),
        [
            (
                one["name"],
                one["id"],
                ", ".join(one["roles"]),
                _all(one.get("plants")),
                _all(one.get("domains")),
                _state(one),
                moment(one.get("expires_at")),
                moment(one.get("last_used_at")),
            )
            for one in found
        ],
        none="there are no keys: crossplant keys create NAME --role admin --data DIR",
    )


@keys.command(short_help="Gives a key a new secret; the old one ends at once.")
def rotate(
    key: Which,
    reason: Reason = "",
    data: Data = None,
    url: Url = DEFAULT_URL,
    key_file: KeyFile = None,
    *,
    as_json: AsJson = False,
) -> None:
    """Gives a key a new secret and prints it once; the old one ends at once.

    \b
    crossplant keys rotate mes
    """
    if data is None:
        client = ask(url, key_file)
        made = client.post(f"/v1/keys/{_id(client, key)}/rotate", because(reason))
    else:
        from gateway import local

        made = _made(_here(data, lambda folder: local.rotate(folder, key, reason)))
    _show_made(made, as_json=as_json)


@keys.command(short_help="Ends a key for good.")
def revoke(
    key: Which,
    reason: Reason = "",
    data: Data = None,
    url: Url = DEFAULT_URL,
    key_file: KeyFile = None,
) -> None:
    """Ends a key for good; it stays in the list.

    \b
    crossplant keys revoke mes --reason "the terminal was replaced"
    """
    from gateway.commands.terminal import say

    if data is None:
        client = ask(url, key_file)
        client.post(f"/v1/keys/{_id(client, key)}/revoke", because(reason))
    else:
        from gateway import local

        _here(data, lambda folder: local.revoke(folder, key, reason))
    say(f"{key} is revoked")


def _here(data: Path, act: Callable[[Path], T]) -> T:
    """Acts on a data folder. Raises ConfigError for what is no such folder, or asked for wrongly."""
    from canonical.errors import ConfigError, CrossplantError

    if not data.is_dir():
        raise ConfigError(
            f"--data {data}: there is no such folder; it is the one that `crossplant run` was given"
        )
    try:
        return act(data)
    except ValueError as error:
        raise ConfigError(str(error)) from error
    except LookupError as error:
        raise CrossplantError(str(error.args[0])) from error
    except PermissionError as error:
        raise CrossplantError(f"{data} belongs to another user: run this as the hub's user") from error


def _new_key(wanted: dict[str, Any]) -> Any:
    import msgspec

    from gateway.keys import NewKey

    return msgspec.convert(wanted, NewKey)


def _end(expires: str) -> str | None:
    from canonical.duration import parse_duration
    from canonical.errors import ConfigError

    if not expires:
        return None
    try:
        return (datetime.now(UTC) + timedelta(seconds=parse_duration(expires))).isoformat()
    except ValueError as error:
        raise ConfigError(f"--expires: {error}") from error


def _made(created: Created) -> Any:
    """As the gateway answers: the key's fields, and its text as ``key``."""
    return _plain(created.key) | {"key": created.text}


def _plain(key: Key) -> Any:
    """A key's fields as the gateway gives them, times as RFC 3339."""
    import msgspec

    plain = msgspec.to_builtins(key)
    for name in ("created_at", "expires_at", "revoked_at", "last_used_at"):
        plain[name] = plain[name] and datetime.fromtimestamp(plain[name], UTC).isoformat()
    return plain


def _show_made(made: Any, *, as_json: bool) -> None:
    from gateway.commands.terminal import say, show, show_json

    if as_json:
        show_json(made)
        return
    show(made["key"])
    say(f"key {made['name']!r} ({', '.join(made['roles'])}): keep it, it is not shown again")


def _id(client: Client, key: str) -> str:
    """The id of a key that is in use, given by its id or its name. Raises GatewayError."""
    from gateway.commands.client import GatewayError

    for one in client.items("/v1/keys"):
        if key in (one["id"], one["name"]) and not one.get("revoked_at"):
            return str(one["id"])
    raise GatewayError(f"there is no key {key!r} in use", status=404)


def _all(names: Sequence[str] | None) -> str:
    return "all" if names is None else ", ".join(names)


def _state(key: Any) -> str:
    if key.get("revoked_at"):
        return "revoked"
    expires = key.get("expires_at")
    return "expired" if expires and datetime.fromisoformat(expires) <= datetime.now(UTC) else "valid"
