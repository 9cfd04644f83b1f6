"""A small Redis client: one connection, any number of calls on their way at once.

Redis answers in order, so a queue of futures is all the bookkeeping there is. When the connection
breaks, all that wait are told so; the next call dials again.
"""

import asyncio
import ssl
from collections import deque
from urllib.parse import unquote, urlsplit

from shop.errors import Unavailable

CALL_TIMEOUT_S = 2.0
# Calls on their way at once; more are refused rather than queued without end.
CALLS_MAX = 4_096
# The longest answer: the books of a sale with many orders.
ANSWER_BYTES_MAX = 64 * 1024 * 1024


class RedisError(Exception):
    """Redis understood the call and refused it."""


class Redis:
    def __init__(self, uri):
        self.uri = urlsplit(uri)
        self.writer = None
        self.waiting = deque()
        self.dialling = asyncio.Lock()
        self.receiver = None

    async def call(self, *parts):
        if len(self.waiting) >= CALLS_MAX:
            raise Unavailable("Redis is too slow for what is asked of it")
        try:
            return await asyncio.wait_for(self.answer_to(parts), CALL_TIMEOUT_S)
        except asyncio.TimeoutError:
            # Later answers would be taken for earlier ones: the connection is spoiled.
            self.drop("Redis did not answer in time")
            raise Unavailable("Redis did not answer in time") from None

    async def answer_to(self, parts):
        if self.writer is None:
            await self.dial()
        return await self.send(parts)

    def send(self, parts):
        answer = asyncio.get_running_loop().create_future()
        self.waiting.append(answer)
        self.writer.write(encode(parts))
        return answer

    async def dial(self):
        async with self.dialling:
            if self.writer is not None:
                return
            tls = ssl.create_default_context() if self.uri.scheme == "rediss" else None
            host, port = self.uri.hostname or "127.0.0.1", self.uri.port or 6379
            try:
                reader, self.writer = await asyncio.open_connection(
                    host, port, ssl=tls, limit=ANSWER_BYTES_MAX
                )
            except OSError as error:
                raise Unavailable(f"Redis at {host}:{port} cannot be reached: {error}") from error
            self.receiver = asyncio.create_task(self.receive(reader))
            await self.greet()

    async def greet(self):
        """Sends all at once, so that no other call gets in between."""
        answers = []
        if self.uri.password:
            user = [unquote(self.uri.username)] if self.uri.username else []
            answers.append(self.send(["AUTH", *user, unquote(self.uri.password)]))
        database = self.uri.path.strip("/")
        if database:
            answers.append(self.send(["SELECT", database]))
        try:
            await asyncio.gather(*answers)
        except RedisError as error:
            self.drop(f"Redis refused: {error}")
            raise

    async def receive(self, reader):
        why = "Redis closed the connection"
        try:
            while True:
                answer = await read_answer(reader)
                future = self.waiting.popleft()
                if future.done():
                    continue
                if isinstance(answer, RedisError):
                    future.set_exception(answer)
                else:
                    future.set_result(answer)
        except (OSError, EOFError, ValueError, IndexError, asyncio.LimitOverrunError) as error:
            why = f"the connection to Redis broke: {error or why}"
        finally:
            self.drop(why)

    def drop(self, why):
        if self.writer is not None:
            self.writer.close()
        self.writer = None
        waiting, self.waiting = self.waiting, deque()
        for future in waiting:
            if not future.done():
                future.set_exception(Unavailable(why))

    def close(self):
        if self.receiver is not None:
            self.receiver.cancel()
        self.drop("the shop is closing")


def encode(parts):
    out = [b"*%d\r\n" % len(parts)]
    for part in parts:
        data = part if isinstance(part, bytes) else str(part).encode()
        out.append(b"$%d\r\n%b\r\n" % (len(data), data))
    return b"".join(out)


async def read_answer(reader):
    line = await reader.readuntil(b"\r\n")
    kind, rest = line[:1], line[1:-2]
    if kind == b"+":
        return rest.decode()
    if kind == b"-":
        return RedisError(rest.decode())
    if kind == b":":
        return int(rest)
    if kind == b"$":
        length = int(rest)
        if length < 0:
            return None
        return (await reader.readexactly(length + 2))[:-2]
    if kind == b"*":
        return [await read_answer(reader) for _ in range(int(rest))]
    raise ValueError(f"not an answer of Redis: {line[:20]!r}")
