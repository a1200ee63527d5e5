"""A small deployment to begin with: commented, sound, running without any server."""

from __future__ import annotations

import secrets
from importlib.resources import files
from pathlib import Path

from canonical.errors import ConfigError

__all__ = ["init"]

_FILES = {
    "deployment.yaml": "templates/deployment.yaml",
    "crosswalks/items.csv": "templates/items.csv",
    "receiver.py": "examples/first/receiver.py",
    "README.md": "templates/readme.txt",
    ".gitignore": "templates/gitignore.txt",
}
_SECRETS = ("secrets/mes-webhook",)


def init(folder: Path) -> list[Path]:
    """Writes the deployment into ``folder``, made when it is missing; returns the files written.

    Raises ConfigError, and writes nothing, when one of them is there already. Secrets are made anew,
    readable by their owner only.
    """
    targets = [folder / name for name in (*_FILES, *_SECRETS)]
    existing = [path for path in targets if path.exists() or path.is_symlink()]
    if existing:
        raise ConfigError(f"{existing[0]} is there already; choose an empty folder", file=str(existing[0]))
    try:
        for name, template in _FILES.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(files("config").joinpath(template).read_bytes())
        for name in _SECRETS:
            _write_secret(folder / name)
    except OSError as error:
        raise ConfigError(f"cannot write {error.filename}: {error.strerror}", file=str(folder)) from error
    return targets


def _write_secret(path: Path) -> None:
    path.parent.mkdir(mode=0o700, exist_ok=True)
    path.touch(mode=0o600)
    path.write_text(secrets.token_urlsafe(32) + "\n", encoding="ascii")
