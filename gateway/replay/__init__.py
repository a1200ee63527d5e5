"""The time machine: a stretch of the journal through a route again, to see or to send.

``differences`` and ``making`` are pure; ``delivered`` knows what went out, ``trying`` compares it with what
another recipe makes, ``sending`` delivers, ``service`` begins, stops and goes on; ``store`` keeps it.
"""
