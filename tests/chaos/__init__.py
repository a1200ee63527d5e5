"""The long run, outside CI: a hub that is killed 300 times while its peers have bad days. ``make chaos``."""
