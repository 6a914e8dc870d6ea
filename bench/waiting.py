"""A service that computes nothing and still takes 40 ms at one connection, which `bench/serving` must reject.

It writes head and body separately with Nagle's algorithm enabled: the body waits for the client's delayed acknowledgement of
the head. With `one-write` it writes both at once and does not wait."""

from __future__ import annotations

import socket
import sys
import threading

BODY = b"{}"
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(BODY)


def main() -> None:
    """`waiting.py PORT [one-write]`."""
    writes = [HEAD + BODY] if "one-write" in sys.argv else [HEAD, BODY]
    listener = socket.create_server(("127.0.0.1", int(sys.argv[1])))
    while True:
        connection, _ = listener.accept()
        threading.Thread(target=respond, args=(connection, writes), daemon=True).start()


def respond(connection: socket.socket, writes: list[bytes]) -> None:
    """Handles requests until the client disconnects. The small requests of the benchmark arrive in one read or two."""
    while request := connection.recv(65536):
        head, _, body = request.partition(b"\r\n\r\n")
        length = int(next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")).split(b":")[1])
        while len(body) < length:
            body += connection.recv(65536)
        for data in writes:
            connection.sendall(data)


if __name__ == "__main__":
    main()
