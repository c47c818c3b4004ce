"""Tests for memq.net."""
