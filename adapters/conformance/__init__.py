"""The contract suite that every adapter passes, and the fault proxy that it uses; for third parties too.

Start with README.md. ``harness`` says what an author writes, ``source`` and ``sink`` hold the cases.
"""
