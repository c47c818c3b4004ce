"""Tests for memq.server."""
