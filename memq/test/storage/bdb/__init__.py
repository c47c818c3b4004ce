"""Tests for memq.storage.bdb."""
