"""The clients of Python, in a directory of their own, through the cases."""

from memq.test.clients import cases, fetched

cases.define(
    globals(),
    fetched.Aiomcache,
    fetched.Emcache,
    fetched.Bmemcached,
    fetched.MetaMemcache,
    fetched.AiskMemcache,
)
