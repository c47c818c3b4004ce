"""Tests for memq.storage.engine."""
