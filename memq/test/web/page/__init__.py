"""Tests of memq.web.page."""
