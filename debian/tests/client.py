r"""Talk to a memq on this machine: send each line that is given, and print the answers.

    python3 client.py [--port PORT] LINE...

``\n`` in a line begins the body of a set.
"""

from __future__ import annotations

import argparse
import socket


def main() -> None:
    """Send the lines and a quit, and print what comes until the server closes."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, default=22201)
    parser.add_argument("lines", nargs="+")
    options = parser.parse_args()
    text = "".join(line.replace("\\n", "\r\n") + "\r\n" for line in options.lines)
    with socket.create_connection(("127.0.0.1", options.port), timeout=30) as client:
        client.sendall(text.encode() + b"quit\r\n")
        while data := client.recv(65536):
            print(data.decode().replace("\r", ""), end="")


if __name__ == "__main__":
    main()
