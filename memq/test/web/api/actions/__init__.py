"""Tests of memq.web.api.actions."""
