"""ASC X12: its syntax, and what its transaction sets mean."""
