"""Tests of memq.wire.auth."""
