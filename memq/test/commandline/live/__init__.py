"""Tests for memq.commandline.live."""
