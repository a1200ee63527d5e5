"""The reference pages below docs/reference, made from the code that they describe."""
