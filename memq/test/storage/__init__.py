"""Tests for memq.storage."""
