"""Tests for memq.backing."""
