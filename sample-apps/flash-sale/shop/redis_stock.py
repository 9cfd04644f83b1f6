"""The stock in Redis: every step is one call of stock.lua."""

import hashlib
import json
import os

from shop import ledger
from shop.errors import Unavailable
from shop.resp import Redis, RedisError

# The braces keep the three keys on one node of a Redis cluster.
KEYS = ("flash-sale:{item}:state", "flash-sale:{item}:orders", "flash-sale:{item}:due")
SCRIPT_PATH = os.path.join(os.path.dirname(__file__), "stock.lua")


class RedisStock:
    kind = "redis"

    def __init__(self, uri, window_ms):
        self.redis = Redis(uri)
        self.window_ms = window_ms
        with open(SCRIPT_PATH, encoding="utf-8") as script:
            self.script = script.read()
        self.digest = hashlib.sha1(self.script.encode()).hexdigest()

    async def open(self, stock, token):
        epoch, salt = os.urandom(8).hex(), os.urandom(16).hex()
        return await self.run("open", stock, epoch, salt)

    async def close_sale(self, token):
        return await self.run("close")

    async def reserve(self, key, quantity):
        return await self.run("reserve", key, quantity, self.window_ms)

    async def pay(self, order_id):
        return await self.run("pay", order_id)

    async def cancel(self, order_id):
        return await self.run("cancel", order_id)

    async def item(self):
        return await self.run("item")

    async def verdict(self):
        books = await self.run("books")
        return ledger.judge(books["item"], [tuple(order) for order in books["orders"] or []])

    async def run(self, *args):
        call = (len(KEYS), *KEYS, *args)
        try:
            try:
                answer = await self.redis.call("EVALSHA", self.digest, *call)
            except RedisError as error:
                if not str(error).startswith("NOSCRIPT"):
                    raise
                answer = await self.redis.call("EVAL", self.script, *call)
        except RedisError as error:
            raise Unavailable(f"Redis refused: {error}") from error
        return json.loads(answer)

    def shut_down(self):
        self.redis.close()
