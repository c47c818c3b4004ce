"""Tests of the project's pages: README, docs, man pages, translation."""
