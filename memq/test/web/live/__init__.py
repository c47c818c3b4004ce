"""Tests of memq.web.live."""
