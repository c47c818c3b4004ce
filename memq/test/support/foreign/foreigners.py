"""Requests of clients of other protocols, and lines that announce bodies."""

from __future__ import annotations

#: Commands that must not be carried out, whatever they stand in.
ORDERS = b"set pwned 0 0 2\r\nhi\r\ndelete jobs\r\nflush jobs\r\n"

_HEADERS = (
    b"host: 127.0.0.1\r\nconnection: keep-alive\r\ncontent-type: text/plain\r\n"
    b"content-length: %d\r\n\r\n" % len(ORDERS)
)

#: First bytes of clients of other protocols, by the name that the log has for each.
FOREIGN: tuple[tuple[str, bytes], ...] = (
    *(
        ("HTTP", b"%b /x HTTP/1.1\r\n" % method + _HEADERS + ORDERS)
        for method in (
            *(b"GET", b"POST", b"PUT", b"PATCH", b"DELETE", b"OPTIONS", b"QUERY"),
            # A page may choose any of these with its own server's leave.
            *(b"get", b"set", b"delete", b"flush", b"stats", b"Monitor"),
        )
    ),
    ("HTTP", b"OPTIONS * HTTP/1.1\n" + ORDERS),
    ("HTTP", b"delete jobs HTTP/1.0\r\n" + ORDERS),
    ("HTTP", b"stats queue http/1.1\r\n" + ORDERS),
    ("HTTP", b"  GET   /x   HTTP/1.1  \r\n" + ORDERS),
    ("HTTP", b"GET\t/x\tHTTP/1.1\t\r\n" + ORDERS),
    ("HTTP", b"CONNECT jobs:443 HTTP/1.1\r\n" + ORDERS),
    ("HTTP", b"GET /" + b"x" * 5000 + b" HTTP/1.1\r\n" + ORDERS),
    ("HTTP", b"HTTP/1.1 200 OK\r\n" + ORDERS),
    ("HTTP", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + ORDERS),
    ("HTTP", b"host:127.0.0.1\r\n" + ORDERS),
    ("HTTP", b" X-Custom_1: yes\r\n" + ORDERS),
    ("memcached's binary protocol", b"\x80\x0b" + b"\0" * 22),
    ("memcached's binary protocol", b"\x80\x01\x00\n" + ORDERS),
    ("TLS", bytes.fromhex("16030100c8010000c40303")),
    ("TLS", b"\x16\x03\x01\x00\x0a\n" + ORDERS),
    ("MQTT", b"\x10\x0c\x00\x04MQTT\x04\x02"),
    ("a binary protocol", b"\0\0\0\x08\x04\xd2\x16\x2f"),
    ("a binary protocol", b"\0REQ\n" + ORDERS),
    ("AMQP", b"AMQP\0\0\x09\x01"),
    ("AMQP", b"AMQP\n" + ORDERS),
    ("Redis's protocol", b"*3\r\n$3\r\nSET\r\n$1\r\nq\r\n$44\r\n" + ORDERS),
    ("Redis's protocol", b"$44\r\n" + ORDERS),
    ("the PROXY protocol", b"PROXY TCP4 10.0.0.1 10.0.0.2 4711 22201\r\n" + ORDERS),
    ("SSH", b"SSH-2.0-OpenSSH_9.2\r\n" + ORDERS),
    ("STOMP or NATS", b"CONNECT\naccept-version:1.2\n\n\0" + ORDERS),
    ("STOMP or NATS", b"STOMP\naccept-version:1.2\n\n\0" + ORDERS),
    ("STOMP or NATS", b'CONNECT {"verbose":false}\r\nPUB jobs 44\r\n' + ORDERS),
)

#: Lines that announce a body of nobody knows which length.
UNSIZED = (
    *(b"set q 0 0", b"set q 0 0 abc", b"set q 0 0 -5", b"set q", b"set", b"SET q x"),
    *(b"set my queue 0 0 44", b"set q 0 0 2147483646", b"set q 0 0 0x2c", b"add q"),
    *(b"add q 0 0 -1", b"append q 0 0", b"Prepend q", b"replace q 0 0 5 6"),
    *(b"cas q 0 0 44", b"CAS my queue 0 0 44 1", b"ms", b"ms q", b"ms q T0", b"ms q x"),
    *(b"ms my queue 44", b"ms q 0 44", b"ms q S44 S2", b"MS q Sx", b"ms q 9999999999"),
    *(b"put 0 0 60", b"put 44", b"Put 0 0 60 44 1", b"put a b c 44"),
    *(b"put 0 0 60 2147483646", b"PUB jobs 44", b"HPUB jobs 12 44", b"SEND", b"DATA"),
    *(b"BDAT 44 LAST", b"a1 APPEND jobs {44}", b"a1 APPEND jobs {44+}", b"44"),
    *(b"lset q 0 0 44 noreply", b"set\tq 0 0 44", b"x -1", b"pub jobs"),
)

#: Lines that announce a body of 44 bytes, and are refused.
SIZED = (
    *(b"set a\1 0 0 44", b"SET q x 0 44", b"set q 0 x 44", b"set q/x 0 0 44"),
    *(b"add q 0 0 44", b"Add q/x 0 0 44", b"append q 0 0 44", b"PREPEND q 0 0 44"),
    *(b"replace q a b 44", b"cas q 0 0 44 1", b"cas q 0 0 44 x", b"set q 0 x 44"),
    *(
        b"ms q 44 T0 T0",
        b"ms q 44 T0 F0 ME",
        b"ms cQ 44 b",
        b"MS q S44",
        b"ms q T0 S44",
    ),
    *(b"put 0 0 60 44", b"PUT 4294967295 0 1 44", b"  ms  q  44 C5 "),
)
assert len(ORDERS) - 2 == 44, len(ORDERS)
