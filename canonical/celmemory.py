"""What cel-expr-python 0.1.3 gets wrong about references to Python objects, put right.

**It loses references to None**: one for every null that a result or an argument holds. CPython 3.11
counts them like any others, and after some thousand nulls ends the process (``none_dealloc``). So None
is made as good as immortal, as it is from 3.12 on (PEP 683).

**It keeps references to calls**: never releases the tuple of arguments that it calls a Python function
with, nor what the function returns, and so every list that ``sum`` ever added up: 200 bytes to many
kilobytes a call, for ever. A plain Python function does not see that tuple, only its elements. So the
runtime is given a C function (METH_VARARGS), which does; and once the evaluation is over the one
reference too many is given back, if it is there.

With a release of the binding that does right by itself, nothing of this does harm. The module can go
when that release is the oldest that we allow; ``tests/canonical/test_celmemory.py`` tells.
"""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Callable
from typing import Any, Final

__all__ = ["callback", "fresh", "give_back", "make_none_immortal"]

_METH_VARARGS: Final = 0x0001
_OURS: Final = 2
"""References to an object that ``give_back`` has itself: its variable, and the argument of getrefcount."""
_MANY: Final = 1 << 40
_SMALL_INTEGERS: Final = range(-5, 257)  # of which CPython has one object each


def make_none_immortal() -> None:
    """Gives None references enough for a thousand years; more than once does no harm."""
    if sys.version_info >= (3, 12) or sys.getrefcount(None) > _MANY:
        return
    count = ctypes.c_ssize_t.from_address(id(None))  # PyObject.ob_refcnt
    if abs(count.value - sys.getrefcount(None)) <= _OURS:  # else this is no CPython as we know it
        count.value += 2 * _MANY


class _MethodDef(ctypes.Structure):
    """PyMethodDef of CPython's object API."""

    _fields_ = (
        ("ml_name", ctypes.c_char_p),
        ("ml_meth", ctypes.c_void_p),
        ("ml_flags", ctypes.c_int),
        ("ml_doc", ctypes.c_char_p),
    )


_Signature = ctypes.PYFUNCTYPE(ctypes.py_object, ctypes.c_void_p, ctypes.py_object)
_new = ctypes.PYFUNCTYPE(ctypes.py_object, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p)(
    ("PyCFunction_NewEx", ctypes.pythonapi)
)
_decref = ctypes.PYFUNCTYPE(None, ctypes.py_object)(("Py_DecRef", ctypes.pythonapi))
_for_ever: list[object] = []  # CPython keeps pointers to both, not references


def callback(name: str, function: Callable[[tuple[Any, ...]], Any]) -> Any:
    """``function`` as a C function that gets the very tuple of its arguments.

    It must not raise: there is nobody to raise to. To be made once per function, it lives for ever.
    """

    def called(_: int | None, arguments: tuple[Any, ...]) -> Any:
        try:
            return function(arguments)
        finally:
            del arguments  # see give_back

    entry = _Signature(called)
    method = _MethodDef(name.encode(), ctypes.cast(entry, ctypes.c_void_p), _METH_VARARGS, None)
    _for_ever.append((entry, method))
    return _new(ctypes.addressof(method), None, None)


def fresh(value: Any) -> tuple[Any, bool]:
    """An equal object that nobody else holds, and True; or the value itself, and False, if there is none."""
    match value:
        case str() if len(value) > 1:
            return value.encode(errors="surrogatepass").decode(errors="surrogatepass"), True
        case float():
            return value * 1.0, True
        case int() if not isinstance(value, bool) and value not in _SMALL_INTEGERS:
            return int(repr(value)), True
        case _:
            return value, False


def give_back(objects: list[Any]) -> None:
    """Releases the arguments and results of calls that are over, and empties the list.

    Nobody but the list may hold them. A traceback that somebody keeps does keep the frames that were
    running, so those forget them before they end.
    """
    while objects:
        one = objects.pop()
        if one != () and sys.getrefcount(one) > _OURS:
            _decref(one)
