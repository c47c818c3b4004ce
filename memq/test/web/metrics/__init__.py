"""Tests of memq.web.metrics."""
