"""Tests of the configuration: reading, checking, schema, init, examples."""
