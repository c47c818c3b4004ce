"""Tests for memq.memcacheq."""
