"""uvicorn's protocol for HTTP, with each answer in one write: `uvicorn --http one_write:OneWrite`.

Uvicorn writes an answer's head and body apart. That costs a call of the system each and, on asyncio's own loop with several
workers, which leaves Nagle's algorithm on, 40 ms of waiting."""

from __future__ import annotations

import asyncio

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol


class OneWrite(HttpToolsProtocol):
    """The protocol that `uvicorn[standard]` takes by itself, on a transport that collects."""

    def connection_made(self, transport: asyncio.Transport) -> None:
        super().connection_made(Collecting(transport))


class Collecting:
    """A transport that sends together what is written in one step of the loop."""

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
