"""Tests for memq.daemon."""
