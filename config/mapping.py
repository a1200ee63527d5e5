"""A mapping as a Python function by dotted name: found, looked at, called.

The function is given by name what it asks for: ``data``, ``event``, ``lookup``; of a part also ``item`` and
``number``; on a route that enriches also ``enrich``. It must be pure: the hub
calls it again after a crash, in a replay and in tests, and expects the same. It runs in the hub's own
process and is trusted as the configuration is; nothing stops one that does not return.
"""

from __future__ import annotations

import importlib
import inspect
import sys
import traceback
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from msgspec import structs

from canonical.errors import ConfigError, CrossplantError, PermanentError
from canonical.event import Event
from canonical.functions import Lookup
from config.findings import did_you_mean

__all__ = ["DOTTED", "Function", "find_function"]

DOTTED = r"^[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)*[.:][A-Za-z_][A-Za-z0-9_]*$"
"""``package.module.function``, or with a colon before the function."""
_GIVEN = ("data", "event", "lookup")
_GIVEN_FOR_PARTS = (*_GIVEN, "item", "number")
_ENRICHED = "enrich"
_SHOWN = 200


class Function:
    """A function that maps. ``name`` as it was written."""

    __slots__ = ("_call", "_wants", "name")

    def __init__(self, name: str, call: Callable[..., Any], wants: frozenset[str]) -> None:
        self.name, self._call, self._wants = name, call, wants

    @property
    def wants(self) -> frozenset[str]:
        """The names of what it is given."""
        return self._wants

    def apply(self, event: Event, lookup: Lookup, **part: Any) -> Any:
        """The payload; of a part, with its ``item`` and ``number``, and ``enrich``.

        What the function does to its arguments stays with it.
        Raises PermanentError that names the function's line, whatever it raised or when it returned
        nothing; an error of ours (an unknown code) as it is.
        """
        own = structs.replace(event, data=_own(event.data), extensions=dict(event.extensions))
        given = {"data": own.data, "event": own, "lookup": lookup}
        given |= {name: _own(value) for name, value in part.items()}
        try:
            made = self._call(**{name: given[name] for name in self._wants})
        except CrossplantError:
            raise
        except (Exception, SystemExit) as error:
            raise self._failed(_where(error, self._call), _told(error)) from error
        if made is None:
            raise self._failed("", "it returned nothing; what must not be sent belongs into `when`")
        return made

    def _failed(self, where: str, what: str) -> PermanentError:
        return PermanentError(
            f"{self.name}{f' ({where})' if where else ''}: {what}",
            code="mapping",
            context={"function": self.name, "where": where},
        )


def _own(value: Any) -> Any:
    """A copy of JSON-like data: events are shared by all routes."""
    if type(value) is dict:
        return {name: _own(entry) for name, entry in value.items()}
    return [_own(entry) for entry in value] if type(value) is list else value


def _where(error: BaseException, call: Callable[..., Any]) -> str:
    """``orders.py:12``: the deepest line in the function's own file."""
    file = inspect.unwrap(call).__code__.co_filename
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == file]
    return f"{Path(file).name}:{lines[-1]}" if lines else Path(file).name


def _told(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"[:_SHOWN]


# ── finding it ──────────────────────────────────────────────────────────────────────────────────


def find_function(
    name: str, folders: Iterable[Path] = (), *, of_parts: bool = False, enriched: bool = False
) -> Function:
    """The function; ``folders`` are searched after what is installed. ``of_parts``: its route splits;
    ``enriched``: it enriches.

    Raises ConfigError: not there, its module cannot be imported (with file and line), or it is none that
    can be called so. A module is imported once per process: changed code takes effect at a restart.
    """
    for folder in folders:
        if (text := str(folder.resolve())) not in sys.path:
            sys.path.append(text)
    module_name, _, function = name.replace(":", ".").rpartition(".")
    if not module_name:
        raise ConfigError(f"{name!r} names no module; write package.module.function")
    module = _module(module_name)
    found = getattr(module, function, None)
    if found is None:
        known = [each for each, value in vars(module).items() if inspect.isfunction(value)]
        hint = did_you_mean(function, known, otherwise="it has")
        raise ConfigError(f"{module_name} has no function {function!r}{hint}")
    given = (*(_GIVEN_FOR_PARTS if of_parts else _GIVEN), *((_ENRICHED,) if enriched else ()))
    return Function(name, found, _wanted(name, found, given))


def _module(name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name and (name == error.name or name.startswith(f"{error.name}.")):
            raise ConfigError(
                f"there is no Python module {error.name!r}; install it beside crossplant, or name its folder "
                "under `python`"
            ) from error
        raise ConfigError(f"importing {name} failed: {_imported(error)}") from error
    except (Exception, SystemExit) as error:
        raise ConfigError(f"importing {name} failed: {_imported(error)}") from error


def _imported(error: BaseException) -> str:
    """What an import failed of, with the place in its Python file."""
    if isinstance(error, SyntaxError):
        return f"{error.filename}:{error.lineno}:{error.offset}: {error.msg}"
    frames = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if not frame.filename.startswith("<frozen") and frame.filename not in (__file__, importlib.__file__)
    ]
    place = f"{frames[-1].filename}:{frames[-1].lineno}: " if frames else ""
    return place + _told(error)


def _wanted(name: str, found: Any, given: Sequence[str]) -> frozenset[str]:
    """Which of what can be given the function asks for."""
    if not inspect.isfunction(found):
        raise ConfigError(f"{name} is no function but {type(found).__name__}")
    if inspect.iscoroutinefunction(found) or inspect.isgeneratorfunction(found):
        raise ConfigError(f"{name} must be a plain function, neither async nor a generator")
    wants: set[str] = set()
    for parameter in inspect.signature(found).parameters.values():
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            continue
        if parameter.name in given and parameter.kind is not parameter.POSITIONAL_ONLY:
            wants.add(parameter.name)
        elif parameter.default is parameter.empty:
            raise ConfigError(
                f"{name} wants {parameter.name!r}; a mapping is given what it names of {', '.join(given)}"
            )
    if not wants & {"data", "event", "item"}:
        raise ConfigError(f"{name} takes neither data nor event, so it would map every event to the same")
    return frozenset(wants)
