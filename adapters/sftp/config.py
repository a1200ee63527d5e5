"""What an operator writes for ``kind: sftp``."""

from __future__ import annotations

from typing import Annotated, Self
from urllib.parse import unquote, urlsplit

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator, model_validator

from adapters.sftp.hostkeys import Pins, parse_pins
from canonical.duration import Duration
from canonical.exchange.options import PickUp

__all__ = ["MTIME_RESOLUTION_S", "SftpConfig"]

MTIME_RESOLUTION_S = 1.0
"""SFTP 3 gives whole seconds (draft-ietf-secsh-filexfer-02, 5)."""


class SftpConfig(BaseModel):
    """Options of ``kind: sftp``: a source with a ``format``, and a sink for routes."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    url: str = Field(
        description="Server and folder: `sftp://USER@HOST[:22]/FOLDER`. `/~/FOLDER` is below the folder that "
        "one is in after the login. The folder must be there.",
        examples=["sftp://edi@sftp.example.com/out", "sftp://edi@127.0.0.1:2222/~/out"],
    )
    host_key: str | tuple[str, ...] | None = Field(
        None,
        description="The server's host key, from its owner: a line of `ssh-keyscan HOST`, or its fingerprint "
        "`SHA256:…`; several while it changes. A server with another key, or all without this option, is "
        "refused, and the error names the fingerprint.",
    )
    password: SecretStr | None = Field(None, description="Password, by reference.")
    key: SecretStr | None = Field(
        None,
        description="Our private key: its text, `${file:id_ed25519}`, or the path of its file. With a "
        "password, too, for servers that ask for both.",
    )
    passphrase: SecretStr | None = Field(None, description="The passphrase of `key`, by reference.")
    pick_up: PickUp = Field(default=PickUp(), description="How files are taken in.")
    connect_timeout: Annotated[Duration, Field(gt=0)] = Field(
        15.0, description="For name and TCP together, and for each step of the login."
    )
    timeout: Annotated[Duration, Field(gt=0)] = Field(
        30.0, description="Longest time without an answer, or without a byte while a file is transferred."
    )
    keepalive: Annotated[Duration, Field(ge=1)] = Field(
        30.0, description="How often an idle connection shows signs of life, for firewalls between."
    )
    max_backoff: Annotated[Duration, Field(gt=0)] = Field(
        300.0,
        description="Longest pause between attempts to connect; they start at a second. After a refused "
        "login it is always this long, so that no account gets locked.",
    )
    fresh_within: Annotated[Duration, Field(gt=0)] | None = Field(
        None, description="A file should come at least this often. Default: no rhythm is expected."
    )

    @field_validator("url")
    @classmethod
    def _is_a_folder(cls, url: str) -> str:
        parts = urlsplit(url)
        if parts.scheme != "sftp" or not parts.hostname:
            raise ValueError("the url is written sftp://USER@HOST[:22]/FOLDER")
        if parts.password is not None:
            raise ValueError("the url holds a password: write password: instead")
        if not parts.username:
            raise ValueError("the url names no user: sftp://USER@HOST/FOLDER")
        if parts.query or parts.fragment:
            raise ValueError("the url has more than a folder; a ? or # in its name is written %3F or %23")
        if ".." in parts.path.split("/"):
            raise ValueError("the url's folder has ..: write where it is")
        try:
            wrong = parts.port == 0
        except ValueError:
            wrong = True
        if wrong:
            raise ValueError("the url's port is a number from 1 to 65535")
        return url

    @field_validator("host_key")
    @classmethod
    def _is_a_key(cls, host_key: str | tuple[str, ...] | None) -> str | tuple[str, ...] | None:
        if host_key is not None:
            parse_pins([host_key] if isinstance(host_key, str) else host_key)
        return host_key

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.password is None and self.key is None:
            raise ValueError("password or key is missing")
        if self.passphrase is not None and self.key is None:
            raise ValueError("passphrase is for a key")
        if self.pick_up.min_age is not None and self.pick_up.min_age < MTIME_RESOLUTION_S:
            raise ValueError("pick_up.min_age: at least 1s with SFTP, whose times are whole seconds")
        return self

    def warnings(self) -> list[tuple[str, str]]:
        """What `crossplant check` warns of: (option, text)."""
        if self.host_key is None:
            return [("url", "without host_key every server is refused; the error names its fingerprint")]
        return []

    @property
    def host(self) -> str:
        """The server's name or address."""
        return urlsplit(self.url).hostname or ""

    @property
    def port(self) -> int:
        """The server's port."""
        return urlsplit(self.url).port or 22

    @property
    def user(self) -> str:
        """Who logs in."""
        return unquote(urlsplit(self.url).username or "")

    @property
    def folder(self) -> str:
        """The folder as the server wants it: absolute, or relative to where one is after the login."""
        path = unquote(urlsplit(self.url).path)
        if path == "/~" or path.startswith("/~/"):
            path = path[2:].strip("/")
        else:
            path = path.rstrip("/") or ("/" if path else "")
        return path or "."

    @property
    def pins(self) -> Pins | None:
        """The host keys that are accepted; None: not even one is."""
        if self.host_key is None:
            return None
        return parse_pins([self.host_key] if isinstance(self.host_key, str) else self.host_key)
