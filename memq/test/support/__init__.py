"""Harnesses, fakes, models, ledgers, and real servers, for all tests."""
