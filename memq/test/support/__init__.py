"""Fixtures: which one to use for what.

- A line and its reply, in every way that bytes can come: ``sessions``.
- Connections and all behind them, without sockets, threads and time: ``harness``.
  Its store is ``fakes.FakeStore``, which fails when told to; ``stepped`` is the clock.
- Operations without a wire, that wait or read openly, with rules or not: ``readers``.
- A home and a store on it, opened, crashed and opened again: ``homes``.
- Promises of every store: ``contract``.
- Any sequence of commands, kills and time beside plain Python: ``model``.
- Disks that fail, are full, lose power, or hold damage: ``disks``.
- The command memq as a process, on pipes or on a terminal: ``commandline``.
- A TLS client in memory: ``tlspeers``; its certificates, and all others:
  ``certificates``.  A real server with TLS: ``tlsservers``.
- Real servers with clients that misbehave or die: ``load``; see testkit.servers, too.
- MemcacheQ's directories, and clients of other protocols: ``foreign``.
- How long a test goes on that injects faults: ``torture``; bytes made up: ``fuzz``.
"""
