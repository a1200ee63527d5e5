"""Service levels: how long messages take, what fails, what waits, and what is left of what was promised."""

from gateway.sla.report import report, series

__all__ = ["report", "series"]
