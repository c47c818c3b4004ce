"""Tests of memq.wire.imports."""
