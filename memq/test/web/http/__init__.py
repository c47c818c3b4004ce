"""Tests of memq.web.http."""
