"""Proxies in front of two servers."""

from memq.test.clients import proxies, proxycase


class NutcrackerTests(proxycase.ProxyCase):
    """twemproxy."""

    clientClass = proxies.ThroughNutcracker
    pattern = "{%s}"

    async def test_hashes(self) -> None:
        """A name with an option is another name, unless the queue is in braces."""
        found = []
        for number in range(20):
            await self.client.push(f"apart-{number}", b"1")
            found.append(await self.client.pop(f"apart-{number}/open"))
        self.assertIn(None, found)


class NginxTests(proxycase.ProxyCase):
    """nginx's memc module."""

    clientClass = proxies.ThroughNginx
