"""Tests of memq.commandline.rules."""
