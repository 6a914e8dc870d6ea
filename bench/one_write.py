"""uvicorn's HTTP protocol with each response in a single write: `uvicorn --http one_write:OneWrite`.

Uvicorn writes the head and the body of a response separately. That takes two system calls and, on asyncio's own loop with
several workers, which leaves Nagle's algorithm enabled, a delay of 40 ms."""

from __future__ import annotations

import asyncio

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol


class OneWrite(HttpToolsProtocol):
    """The default protocol of `uvicorn[standard]` on a buffering transport."""

    def connection_made(self, transport: asyncio.Transport) -> None:
        super().connection_made(BufferingTransport(transport))


class BufferingTransport:
    """A transport that combines all writes of one loop iteration."""

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._loop = asyncio.get_running_loop()
        self._parts: list[bytes] = []

    def write(self, data: bytes) -> None:
        if not self._parts:
            self._loop.call_soon(self._flush)
        self._parts.append(data)

    def close(self) -> None:
        self._flush()
        self._transport.close()

    def __getattr__(self, name: str) -> object:
        return getattr(self._transport, name)

    def _flush(self) -> None:
        if self._parts:
            self._transport.write(b"".join(self._parts))
            self._parts.clear()
