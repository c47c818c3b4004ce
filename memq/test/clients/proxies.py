"""Proxies in front of two servers, and clients that only see the proxy.

Both programs are unpacked by tools/unpack, and nothing of them starts by itself.
"""

from __future__ import annotations

import os
import socket
import subprocess
from http.client import HTTPConnection
from tempfile import TemporaryDirectory
from time import monotonic

from pymemcache.client.base import Client as PymemcacheClient

from memq.test.clients.client import PATIENCE, Client, Message
from memq.test.clients.fetched import FETCHED
from memq.test.clients.libraries import AsMessages, Pymemcache

NUTCRACKER = os.path.join(FETCHED, "usr/sbin/nutcracker")
NGINX = os.path.join(FETCHED, "usr/sbin/nginx")
MODULES = os.path.join(FETCHED, "usr/lib/nginx/modules")

#: A name in braces alone chooses the server, so that `{q}/open` goes where `{q}` does.
NUTCRACKER_YAML = """\
memq:
  listen: {place} 0600
  hash: md5
  hash_tag: "{{}}"
  distribution: ketama
  auto_eject_hosts: false
  timeout: 30000
  server_connections: 1
  servers:
   - 127.0.0.1:{one}:1
   - 127.0.0.1:{two}:1
"""

#: What comes before the `/` chooses the server.  A connection is kept to each.
NGINX_CONF = """\
load_module {modules}/ngx_http_memc_module.so;
daemon off;
master_process off;
pid {directory}/pid;
error_log stderr;
events {{}}
http {{
  access_log off;
  client_body_temp_path {directory}/body;
  proxy_temp_path {directory}/proxy;
  fastcgi_temp_path {directory}/fastcgi;
  uwsgi_temp_path {directory}/uwsgi;
  scgi_temp_path {directory}/scgi;
  map $arg_key $queue {{ "~^(?<name>[^/]+)" $name; }}
  upstream memq {{
    hash $queue;
    server 127.0.0.1:{one};
    server 127.0.0.1:{two};
    keepalive 2;
  }}
  server {{
    listen unix:{place};
    client_max_body_size 2m;
    client_body_buffer_size 2m;
    location / {{
      set $memc_cmd $arg_cmd;
      set $memc_key $arg_key;
      set $memc_flags $arg_flags;
      memc_read_timeout 30s;
      memc_flags_to_last_modified off;
      add_header X-Flags $memc_flags;
      memc_pass memq;
    }}
  }}
}}
"""


class Proxy:
    """A proxy that runs, on a socket in a directory of its own.

    :ivar place: the path of the socket.
    """

    def __init__(self, text: str, one: int, two: int, *command: str) -> None:
        """Start it, with a configuration that names the ports of two servers.

        :param command: the program, and its options; `CONFIG` is the configuration.
        """
        self._directory = TemporaryDirectory(prefix="memq-proxy-")
        directory = self._directory.name
        self.place = os.path.join(directory, "socket")
        config = os.path.join(directory, "config")
        with open(config, "w", encoding="ascii") as file:
            names = {"directory": directory, "modules": MODULES, "place": self.place}
            file.write(text.format(one=one, two=two, **names))
        self._log = open(os.path.join(directory, "log"), "w+")  # noqa: SIM115
        self._process = subprocess.Popen(
            [config if word == "CONFIG" else word for word in command],
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=self._log,
        )
        limit = monotonic() + PATIENCE
        while not self._listens():
            if monotonic() > limit or self._process.poll() is not None:
                self.stop()
                raise AssertionError(f"{command} does not listen")

    def _listens(self) -> bool:
        with socket.socket(socket.AF_UNIX) as client:
            return client.connect_ex(self.place) == 0

    def stop(self) -> None:
        """End it."""
        self._process.terminate()
        self._process.wait(PATIENCE)
        self._log.close()
        self._directory.cleanup()


def freePort() -> int:
    """Return a port that was free: nutcracker cannot be kept from telling its stats."""
    with socket.socket() as made:
        made.bind(("127.0.0.1", 0))
        return int(made.getsockname()[1])


def nutcracker(one: int, two: int) -> Proxy:
    """Start twemproxy, by its other name."""
    stats = ("-o", "/dev/stderr", "-a", "127.0.0.1", "-s", str(freePort()))
    return Proxy(NUTCRACKER_YAML, one, two, NUTCRACKER, "-c", "CONFIG", *stats)


def nginx(one: int, two: int) -> Proxy:
    """Start nginx with its memc module."""
    return Proxy(NGINX_CONF, one, two, NGINX, "-c", "CONFIG", "-p", "/")


class ThroughNutcracker(Pymemcache):
    """pymemcache, through twemproxy."""

    proxy = staticmethod(nutcracker)

    def connectTo(self, place: str) -> None:
        """Connect to a socket."""
        self.client = PymemcacheClient(
            place, serde=AsMessages(), timeout=PATIENCE, default_noreply=False
        )


class _LocalConnection(HTTPConnection):
    """An HTTP connection to a socket in the file system."""

    def __init__(self, place: str) -> None:
        super().__init__("localhost", timeout=PATIENCE)
        self._place = place

    def connect(self) -> None:
        """Connect."""
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(PATIENCE)
        self.sock.connect(self._place)


class ThroughNginx(Client):
    """HTTP requests, of which nginx makes commands; a queue without messages is 404."""

    proxy = staticmethod(nginx)

    async def connect(self, port: int) -> None:
        """Refuse: it is asked for at a place, not at a port."""
        raise NotImplementedError

    def connectTo(self, place: str) -> None:
        """Connect to a socket."""
        self._connection = _LocalConnection(place)

    async def close(self) -> None:
        """Disconnect."""
        self._connection.close()

    def ask(self, query: str, body: bytes | None = None) -> tuple[int, int, bytes]:
        """Return the status of a request, the flags and the body of its reply."""
        self._connection.request("GET" if body is None else "POST", f"/?{query}", body)
        reply = self._connection.getresponse()
        return reply.status, int(reply.headers.get("X-Flags") or 0), reply.read()

    async def push(self, queue: str, body: bytes, flags: int = 0) -> bool:
        """Set a key."""
        status, _, _ = self.ask(f"cmd=set&key={queue}&flags={flags}", body)
        return status == 201

    async def pop(self, queue: str) -> Message | None:
        """Get a key."""
        status, flags, body = self.ask(f"cmd=get&key={queue}")
        if status == 404:
            return None
        assert status == 200, (status, body)
        return Message(flags, body)

    async def delete(self, queue: str) -> bool:
        """Delete a key."""
        return self.ask(f"cmd=delete&key={queue}")[0] == 200

    async def stats(self) -> dict[str, str]:
        """Refuse: it would ask one of the servers."""
        raise NotImplementedError


#: The clients that only see a proxy.
Throughs = ThroughNutcracker | ThroughNginx
