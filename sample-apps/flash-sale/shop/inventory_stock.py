"""The stock in the companion app `inventory`, over HTTP with connections that stay open.

All but opening and closing the sale are idempotent, so a connection that turns out dead before
it answered is tried once more on a new one.
"""

import asyncio
import json
from urllib.parse import quote, urlsplit

from shop.errors import Unavailable

# Longer than a rush on a busy machine makes anybody wait, shorter than customers and routers do.
CALL_TIMEOUT_S = 5.0
# Connections to the inventory at once; further calls wait for one of them.
CONNECTIONS_MAX = 32
ANSWER_BYTES_MAX = 1024 * 1024


class InventoryStock:
    kind = "inventory"

    def __init__(self, url):
        self.url = urlsplit(url)
        self.idle = []
        self.places = asyncio.Semaphore(CONNECTIONS_MAX)

    async def open(self, stock, token):
        return await self.ask("POST", "/v1/sale", {"open": True, "stock": stock}, token, tries=1)

    async def close_sale(self, token):
        return await self.ask("POST", "/v1/sale", {"open": False}, token, tries=1)

    async def reserve(self, key, quantity):
        return await self.ask("POST", "/v1/orders", {"key": key, "quantity": quantity})

    async def pay(self, order_id):
        return await self.ask("POST", f"/v1/orders/{quote(order_id, safe='')}/pay", {})

    async def cancel(self, order_id):
        return await self.ask("DELETE", f"/v1/orders/{quote(order_id, safe='')}")

    async def item(self):
        return await self.ask("GET", "/v1/item")

    async def verdict(self):
        return await self.ask("GET", "/v1/verdict")

    async def ask(self, method, path, body=None, token="", tries=2):
        request = self.encode(method, path, body, token)
        try:
            return await asyncio.wait_for(self.try_to_ask(request, tries), CALL_TIMEOUT_S)
        except asyncio.TimeoutError:
            raise Unavailable("the inventory did not answer in time") from None

    async def try_to_ask(self, request, tries):
        async with self.places:
            while True:
                tries -= 1
                is_used = bool(self.idle) and tries > 0
                try:
                    return await self.exchange(request, is_used)
                except (OSError, EOFError, ValueError) as error:
                    if not is_used:
                        raise Unavailable(f"the inventory cannot be reached: {error}") from error

    async def exchange(self, request, take_idle):
        if take_idle:
            reader, writer = self.idle.pop()
        else:
            reader, writer = await asyncio.open_connection(
                self.url.hostname, self.url.port or 80, limit=ANSWER_BYTES_MAX
            )
        try:
            writer.write(request)
            status, keep, answer = await read_response(reader)
        except BaseException:
            writer.close()
            raise
        if keep:
            self.idle.append((reader, writer))
        else:
            writer.close()
        if status >= 500 or status == 404:
            # The router's own answer when there is no inventory, or the inventory's trouble.
            raise Unavailable(f"the inventory answered {status}")
        return json.loads(answer)

    def encode(self, method, path, body, token):
        data = b"" if body is None else json.dumps(body).encode()
        head = (
            f"{method} {path} HTTP/1.1\r\nHost: {self.url.netloc}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(data)}\r\n"
        )
        if token:
            head += f"Authorization: Bearer {token}\r\n"
        return head.encode() + b"\r\n" + data

    def shut_down(self):
        for _, writer in self.idle:
            writer.close()
        self.idle.clear()


async def read_response(reader):
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    status = int(head[0].split(" ", 2)[1])
    headers = {}
    for line in filter(None, head[1:]):
        name, _, value = line.partition(":")
        headers[name.strip().lower()] = value.strip()
    keep = headers.get("connection", "").lower() != "close"
    if headers.get("transfer-encoding", "").lower() == "chunked":
        return status, keep, await read_chunks(reader)
    length = int(headers.get("content-length", "0"))
    if length > ANSWER_BYTES_MAX:
        raise ValueError("the answer is too long")
    return status, keep, await reader.readexactly(length)


async def read_chunks(reader):
    body = b""
    while True:
        size = int((await reader.readuntil(b"\r\n")).split(b";")[0], 16)
        if len(body) + size > ANSWER_BYTES_MAX:
            raise ValueError("the answer is too long")
        body += (await reader.readexactly(size + 2))[:-2]
        if size == 0:
            return body
