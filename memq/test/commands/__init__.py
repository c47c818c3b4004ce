"""Tests for memq.commands."""
