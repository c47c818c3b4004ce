"""Tests of memq.broker.background."""
