"""Tests of memq.web.history."""
