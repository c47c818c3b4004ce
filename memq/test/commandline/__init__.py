"""Tests for memq.commandline."""
