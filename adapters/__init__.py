"""Protocols and formats, a folder each; found through entry points, never imported by name."""
