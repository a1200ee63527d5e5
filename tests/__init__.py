"""Behaviours, against real servers on loopback; `tests.servers` starts and ends them."""
