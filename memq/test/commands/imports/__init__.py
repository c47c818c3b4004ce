"""Tests of memq.commands.imports."""
