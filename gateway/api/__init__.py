"""The HTTP API, one module per resource; each has its routes in ``api``."""
