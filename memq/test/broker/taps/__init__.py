"""Tests for memq.broker.taps."""
