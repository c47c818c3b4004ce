"""The clients of Node, through the cases."""

from memq.test.clients import cases, fetched

cases.define(
    globals(),
    fetched.Memjs,
    fetched.NodeMemcached,
    fetched.MemcacheClient,
)
