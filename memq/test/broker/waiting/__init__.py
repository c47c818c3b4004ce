"""Tests of memq.broker.waiting."""
