"""Commands that installed packages bring along (``canonical.commands``), each loaded when it is called."""

from __future__ import annotations

from typing import Any

from typer.core import TyperCommand, TyperGroup

__all__ = ["Commands"]


class Commands(TyperGroup):
    """The group of all commands: ours, and those of packages. Ours win where a name is there twice."""

    def list_commands(self, ctx: Any) -> list[str]:
        from canonical.commands import commands

        ours = super().list_commands(ctx)
        return [*ours, *(name for name in commands() if name not in ours)]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        from canonical.commands import commands, summary

        ours = super().get_command(ctx, cmd_name)
        if ours is not None or cmd_name not in commands():
            return ours
        return _Foreign(cmd_name, help=summary(cmd_name))


class _Foreign(TyperCommand):
    """Stands for a command until it is called."""

    def make_context(self, info_name: Any, args: Any, parent: Any = None, **extra: Any) -> Any:
        """The context of the real command: from here on it stands in this one's place."""
        from typer.main import get_command

        from canonical.commands import load

        return get_command(load(info_name)).make_context(info_name, args, parent, **extra)
