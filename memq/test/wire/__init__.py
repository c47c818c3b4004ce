"""Tests for memq.wire."""
