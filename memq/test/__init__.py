"""The test suite: one test_X.py beside each module X."""
