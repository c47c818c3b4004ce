"""Tests of who asks, and of what that one may."""
