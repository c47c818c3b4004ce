"""Tests of memq.operations.imports."""
