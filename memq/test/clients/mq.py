"""The commands of MemcacheQ's mqpush and mqpop: sets, or gets, then ``stats queue``.

python mq.py push|pop PORT COUNT
"""

import sys

import memcache

word, port, count = sys.argv[1:]
client = memcache.Client([f"127.0.0.1:{port}"], debug=1)
for _ in range(int(count)):
    if word == "push":
        assert client.set("test1", b"1234567890")
    else:
        assert client.get("test1") == b"1234567890"
[(_, counts)] = client.get_stats("queue")
print(counts["test1"])
client.disconnect_all()
