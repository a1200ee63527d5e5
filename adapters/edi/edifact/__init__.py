"""EDIFACT: its syntax (ISO 9735), and what its messages mean."""
