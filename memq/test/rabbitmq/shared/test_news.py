"""Tests for memq.rabbitmq.shared.news; those of test_pauses go through it, too."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any
from unittest.mock import Mock

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from memq.rabbitmq.shared.news import News


class NewsTests(SynchronousTestCase):
    """A channel of its own."""

    def test_closing(self) -> None:
        """What is answered on a connection that is being closed leads to nothing."""
        listener: Any = None
        news = News(Clock(), listener, {})
        channel = Mock()
        link: Any = SimpleNamespace(isUp=True, channel=lambda opened, closed: channel)
        news.link = link
        news.linkUp()
        news._opened(channel)
        declared = channel.queue_declare.call_args.kwargs["callback"]
        link.isUp = False
        declared(SimpleNamespace(method=SimpleNamespace(queue="amq.gen-1")))
        channel.queue_bind.assert_not_called()
        link.isUp = True
        declared(SimpleNamespace(method=SimpleNamespace(queue="amq.gen-1")))
        channel.basic_consume.assert_called_once()
