"""The test suite: one test_X.py beside each module X.

How long an example takes is the machine's affair: hypothesis sets no deadline for it.
"""

from hypothesis import HealthCheck, settings

settings.register_profile(
    "memq", deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("memq")
