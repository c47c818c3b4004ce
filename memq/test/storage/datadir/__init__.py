"""Tests for memq.storage.datadir."""
