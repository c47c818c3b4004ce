"""The page in a real browser, against a real server.

Debian's chromium is driven by selenium.  Where they are not installed that is a
failure: `make browser` installs them.
"""
