"""Measurements: memq beside its peers, where its time goes, and long soaks.

`make bench`, `make profile` and `make soak` run them.  Imports testkit and the standard
library; memq itself runs in processes of its own, of which bench.inprocess is one that
is put together from memq's parts, and only versions are looked up.
It never imports memq.test, and is never installed.
"""
