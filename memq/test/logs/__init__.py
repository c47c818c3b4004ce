"""Tests for memq.logs."""
