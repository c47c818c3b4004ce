"""Tests for memq.policy."""
