"""Expressions: CEL behind an interface of ours, for conditions, fields and templates.

CEL (Common Expression Language) as cel-expr-python runs it: no side effects, no loops of its own, an
iteration budget (10,000 steps), at most 32 levels of nesting. What its binding does differently from
Python is kept in here: evaluation errors come back as values, exceptions of built-ins become text,
times, durations and bytes are no JSON, optionals have no plain form, references are miscounted
(``canonical.celmemory``). Simple expressions do not need CEL at all (``canonical.shortcut``).

Beside CEL's own functions there are its ``strings``, ``math`` and ``optional`` libraries, and built-ins
of ours (``canonical.functions``): ``sum(list)``, ``decimal(x)`` (text to double), ``unit(value, from,
to)`` (Rec 20 codes; keeps text as text), ``unit(value, from, to, item)`` (with what is in the item's
packages), ``lookup(domain, system, value)`` (canonical code → the system's code), ``local(time, zone)`` and
``local(time, zone, pattern)`` (the time on a zone's clocks, RFC 3339 or as strftime writes it).
"""

from __future__ import annotations

from canonical.binding import (
    ENRICHED_PART_VARIABLES,
    ENRICHED_VARIABLES,
    EVENT_VARIABLES,
    MESSAGE_VARIABLES,
    PART_VARIABLES,
    ExpressionError,
    Values,
    bind,
    plain,
)
from canonical.cel import Expression, compile_expression
from canonical.fieldmap import FieldMap
from canonical.functions import Lookup
from canonical.template import Template

__all__ = [
    "ENRICHED_PART_VARIABLES",
    "ENRICHED_VARIABLES",
    "EVENT_VARIABLES",
    "MESSAGE_VARIABLES",
    "PART_VARIABLES",
    "Expression",
    "ExpressionError",
    "FieldMap",
    "Lookup",
    "Template",
    "Values",
    "bind",
    "compile_expression",
    "plain",
]
