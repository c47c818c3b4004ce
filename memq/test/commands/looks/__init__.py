"""Tests for memq.commands.looks."""
