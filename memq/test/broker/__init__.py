"""Tests for memq.broker."""
