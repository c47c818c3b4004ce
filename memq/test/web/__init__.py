"""Tests of memq.web."""
