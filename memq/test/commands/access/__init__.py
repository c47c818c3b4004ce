"""Tests for memq.commands.access."""
