"""Tests on the nodes of a real cluster: `make cluster-check`."""
