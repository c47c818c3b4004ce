"""The keys in the tables, drawn in :mod:`memq.storage.bdb.store`."""

from __future__ import annotations

from struct import Struct

#: Of a message: id of its queue, sequence number.  Also what the keys of the parts of
#: a body begin with: 0, id of the body.
KEY = Struct(">IQ")
#: What the keys of a queue's messages begin with: its id.
ID = Struct(">I")
#: Of a part: 0, id of the body, number of the part.
PART = Struct(">IQI")

#: In the table of queues: the id that the next queue gets; what the keys of tombstones
#: and of damaged records begin with, and those that say how often a message that is
#: in its queue was given back: then id and sequence number, as in its own key.
NEXT_ID = b"\0next-id"
TOMBSTONE = b"\0deleted"
DAMAGED = b"\0damaged"
DELIVERIES = b"\0tries"
#: How often it was.
DELIVERIES_ROW = Struct(">I")
