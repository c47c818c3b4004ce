"""Tests of memq.wire.rules."""
