"""Tests of memq.storage.bdb.hidden."""
