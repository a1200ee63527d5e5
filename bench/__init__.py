"""Measurements of the product beside its peers, interleaved on one machine: ``make bench``."""
