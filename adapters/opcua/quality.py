"""What a StatusCode says of a value, and what of a value an event can carry.

Source: OPC 10000-4, 7.39 (StatusCode): severity in bits 30–31, info type in 10–11, overflow in bit 7.
"""

from __future__ import annotations

from typing import Any, Final, Literal

from adapters.opcua.reading import Reading

__all__ = ["Quality", "finite_value", "overflowed", "quality"]

Quality = Literal["good", "uncertain", "bad"]

_QUALITIES: Final[tuple[Quality, ...]] = ("good", "uncertain", "bad", "bad")
_OVERFLOW: Final = 0x480  # info type DataValue, and its overflow bit
_TEXTS: Final = frozenset({"NaN", "Infinity", "-Infinity"})
_PLAIN: Final = frozenset({bool, int, float})
_STRUCTURES: Final = ("ExtensionObject", "DiagnosticInfo")


def quality(status: int) -> Quality:
    """The severity, as telemetry calls it; the fourth, reserved one counts as bad."""
    return _QUALITIES[status >> 30 & 3]


def overflowed(status: int) -> bool:
    """Whether values beside this one were thrown away because the server's queue was full."""
    return status & _OVERFLOW == _OVERFLOW


def finite_value(reading: Reading) -> tuple[Any, bool]:
    """(value for an event, whether every number in it was finite); those that were not are null.

    Raises ValueError for a structure, and for arrays of more than two dimensions.
    """
    value = reading.value
    if type(value) in _PLAIN:
        return value, True
    kind = reading.type.removesuffix("[]")
    if kind in _STRUCTURES or _holds_structure(value):
        raise ValueError(f"a structure ({_type_of(value)}) has no form in telemetry; subscribe to its fields")
    if kind in ("Float", "Double"):
        return _numbers(value, 0)
    if isinstance(value, list):
        _check_depth(value, 1)
    return value, True


def _numbers(value: Any, depth: int) -> tuple[Any, bool]:
    if isinstance(value, list):
        _check_depth(value, depth + 1)
        pairs = [_numbers(entry, depth + 1) for entry in value]
        return [number for number, _ in pairs], all(is_finite for _, is_finite in pairs)
    return (None, False) if value in _TEXTS else (value, True)


def _check_depth(value: list[Any], depth: int) -> None:
    if depth > 2:
        raise ValueError("an array of more than two dimensions has no form in telemetry")
    for entry in value:
        if isinstance(entry, list):
            _check_depth(entry, depth + 1)


def _holds_structure(value: Any) -> bool:
    if isinstance(value, list):
        return any(_holds_structure(entry) for entry in value)
    return isinstance(value, dict)


def _type_of(value: Any) -> str:
    while isinstance(value, list) and value:
        value = value[0]
    return str(value.get("type_id", "unknown")) if isinstance(value, dict) else "unknown"
