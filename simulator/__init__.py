"""Plants, partners and business systems around them, over real protocols, for the demo and the tests.

A process of its own (``python -m simulator``) that imports nothing of the hub's: what it says about
lost messages is its own account. ``README.md`` here describes how it is started and asked.
"""
