"""What MemcacheQ's mqpush sends: many messages, then ``stats queue``.

python mqpush.py PORT COUNT
"""

import sys

import memcache

client = memcache.Client([f"127.0.0.1:{sys.argv[1]}"], debug=1)
for _ in range(int(sys.argv[2])):
    assert client.set("test1", b"1234567890")
[(_, counts)] = client.get_stats("queue")
print(counts["test1"])
client.disconnect_all()
