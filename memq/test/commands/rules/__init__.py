"""Tests of memq.commands.rules."""
