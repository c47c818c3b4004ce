"""Tests of memq.web.api."""
