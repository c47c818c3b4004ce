"""Tests for memq.connection."""
