"""The clients of Ruby, through the cases."""

from memq.test.clients import cases, fetched

cases.define(
    globals(),
    fetched.Dalli,
    fetched.BinaryDalli,
    fetched.MetaDalli,
)
