"""A small HTTP/1.1 server on asyncio: thousands of connections that stay open, one request at a
time on each, and limits on everything a client can send.

A handler is `async def handle(request) -> Response`. On SIGTERM the server stops listening, answers
what it has begun, and ends.
"""

import asyncio
import json
import signal
import sys
from dataclasses import dataclass, field
from http import HTTPStatus
from urllib.parse import unquote, urlsplit

HEAD_BYTES_MAX = 16 * 1024
BODY_BYTES_MAX = 16 * 1024
CONNECTIONS_MAX = 10_000
# Longer than routers keep idle connections, so that the router is the one who closes.
IDLE_MAX_S = 120
# How long requests that have begun may go on after SIGTERM: the platform kills after 10 s.
DRAIN_MAX_S = 8


@dataclass
class Request:
    method: str
    path: str
    headers: dict
    body: bytes

    def json(self):
        """The body as an object; ValueError if it is none."""
        value = json.loads(self.body or b"{}")
        if not isinstance(value, dict):
            raise ValueError("the body must be a JSON object")
        return value


@dataclass
class Response:
    status: int
    body: bytes = b""
    headers: dict = field(default_factory=dict)


class BadRequest(Exception):
    def __init__(self, status, text):
        super().__init__(text)
        self.status = status


def json_response(status, value, **headers):
    headers = {name.replace("_", "-"): text for name, text in headers.items()}
    headers["Content-Type"] = "application/json"
    headers.setdefault("Cache-Control", "no-store")
    return Response(status, json.dumps(value).encode(), headers)


def error(status, code, text, **headers):
    return json_response(status, {"error": code, "message": text}, **headers)


class Connection(asyncio.Protocol):
    def __init__(self, server):
        self.server = server
        self.buffer = bytearray()
        self.transport = None
        self.task = None
        self.used_at = server.loop.time()
        self.keep = True

    def connection_made(self, transport):
        self.transport = transport
        if len(self.server.connections) >= CONNECTIONS_MAX:
            transport.abort()
            return
        self.server.connections.add(self)

    def connection_lost(self, _):
        self.server.connections.discard(self)
        if self.task:
            self.task.cancel()

    def data_received(self, data):
        self.buffer += data
        self.used_at = self.server.loop.time()
        if self.task is None:
            self.next_request()
        elif len(self.buffer) > HEAD_BYTES_MAX + BODY_BYTES_MAX:
            # More requests sent ahead than fit: let the client wait for answers.
            self.transport.pause_reading()

    def next_request(self):
        try:
            request = parse(self.buffer)
        except BadRequest as bad:
            self.keep = False
            self.send(error(bad.status, "bad_request", str(bad)), True)
            return
        if request is not None:
            self.keep = self.keep and request.headers.get("connection", "").lower() != "close"
            self.task = self.server.loop.create_task(self.serve(request))

    async def serve(self, request):
        try:
            response = await self.server.handle(request)
        except Exception as problem:
            print(f"error in {request.method} {request.path}: {problem!r}", file=sys.stderr)
            response = error(500, "internal", "Something went wrong here. Please try again.")
        self.task = None
        self.send(response, request.method != "HEAD")
        if self.keep and not self.transport.is_closing():
            self.transport.resume_reading()
            if self.buffer:
                self.next_request()

    def send(self, response, with_body):
        self.keep = self.keep and not self.server.draining
        lines = [f"HTTP/1.1 {response.status} {HTTPStatus(response.status).phrase}"]
        lines += [f"{name}: {value}" for name, value in response.headers.items()]
        lines.append(f"Content-Length: {len(response.body)}")
        if not self.keep:
            lines.append("Connection: close")
        head = ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")
        self.transport.write(head + response.body if with_body else head)
        if not self.keep:
            self.transport.close()


def parse(buffer):
    """Takes one request off the buffer; none when it is not whole yet."""
    end = buffer.find(b"\r\n\r\n", 0, HEAD_BYTES_MAX)
    if end < 0:
        if len(buffer) >= HEAD_BYTES_MAX:
            raise BadRequest(431, f"The request's head is longer than {HEAD_BYTES_MAX} bytes")
        return None
    first, *lines = buffer[:end].decode("latin-1").split("\r\n")
    parts = first.split(" ")
    if len(parts) != 3 or not parts[2].startswith("HTTP/1."):
        raise BadRequest(400, "This is not an HTTP/1.1 request")
    headers = {}
    for line in lines:
        name, colon, value = line.partition(":")
        if not colon or name != name.strip():
            raise BadRequest(400, "A header line is malformed")
        name = name.lower()
        if name == "content-length" and name in headers:
            raise BadRequest(400, "There are two Content-Length headers")
        headers[name] = value.strip()
    length = body_length(headers)
    if len(buffer) < end + 4 + length:
        return None
    body = bytes(buffer[end + 4 : end + 4 + length])
    del buffer[: end + 4 + length]
    if parts[2] == "HTTP/1.0":
        headers["connection"] = "close"
    try:
        path = unquote(urlsplit(parts[1]).path)
    except ValueError:
        raise BadRequest(400, "The address is malformed") from None
    return Request(parts[0], path, headers, body)


def body_length(headers):
    if "transfer-encoding" in headers:
        raise BadRequest(411, "Send the body with a Content-Length")
    text = headers.get("content-length", "0")
    if not text.isascii() or not text.isdigit():
        raise BadRequest(400, "Content-Length is not a number")
    length = int(text[:12])
    if length > BODY_BYTES_MAX:
        raise BadRequest(413, f"The body is longer than {BODY_BYTES_MAX} bytes")
    return length


class Server:
    def __init__(self, handle):
        self.handle = handle
        self.connections = set()
        self.draining = False
        self.loop = asyncio.get_running_loop()
        self.listener = None

    async def listen(self, port, host="0.0.0.0"):
        self.listener = await self.loop.create_server(
            lambda: Connection(self), host, port, backlog=4_096
        )
        return self.listener.sockets[0].getsockname()[1]

    async def serve_until_stopped(self):
        stop = asyncio.Event()
        for name in (signal.SIGTERM, signal.SIGINT):
            self.loop.add_signal_handler(name, stop.set)
        idle = self.loop.create_task(self.close_idle())
        await stop.wait()
        idle.cancel()
        await self.drain()

    async def drain(self):
        self.draining = True
        self.listener.close()
        deadline = self.loop.time() + DRAIN_MAX_S
        while self.connections and self.loop.time() < deadline:
            for connection in list(self.connections):
                if connection.task is None:
                    connection.transport.close()
            await asyncio.sleep(0.02)

    async def close_idle(self):
        while True:
            await asyncio.sleep(IDLE_MAX_S / 8)
            latest = self.loop.time() - IDLE_MAX_S
            for connection in list(self.connections):
                if connection.task is None and connection.used_at < latest:
                    connection.transport.close()
