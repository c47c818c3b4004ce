"""Tests for memq.config."""
