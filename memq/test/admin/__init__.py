"""Tests for memq.admin."""
