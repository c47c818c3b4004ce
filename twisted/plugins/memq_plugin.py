"""What twistd reads to know the command ``memq``.

Every twistd imports it, so it imports no code of memq until that is asked for.
"""

from typing import Any

from twisted.application.service import ServiceMaker


class _ServiceMaker(ServiceMaker):
    """Let signals wait as soon as it is known that memq is to be started."""

    @property
    def options(self) -> Any:
        from memq.daemon.signals import holdRequests

        holdRequests()
        return super().options


memq = _ServiceMaker(
    "memq",
    "memq.tap",
    "A persistent message queue behind the protocols of memcached.",
    "memq",
)
