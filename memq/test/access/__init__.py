"""Tests of memq.access."""
