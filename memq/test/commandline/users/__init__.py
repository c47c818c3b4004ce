"""Tests of memq.commandline.users."""
