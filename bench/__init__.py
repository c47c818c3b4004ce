"""Measurements: memq beside its peers, where its time goes, and long soaks.

`make bench`, `make profile` and `make soak` run them.  Imports testkit and the standard
library; memq itself runs in processes of its own, and only versions are looked up.
It never imports memq.test, and is never installed.
"""
