"""The companion app: counts the stock of one sale in memory, for all instances of the front.

It keeps nothing on disk. Started anew it does not know what was sold before, so it starts closed,
under a new epoch, and an operator opens the sale again with what is truly left. That way a crash
can end a sale early but never oversell it. Run exactly one instance.
"""

import asyncio
import hmac
import os
import time

from shop import settings
from shop.http import Server, error, json_response
from shop.ledger import STOCK_MAX, Ledger

KEY_LENGTH_MAX = 128


class Inventory:
    def __init__(self, config):
        self.config = config
        self.ledger = Ledger(new_epoch(), new_salt())

    async def handle(self, request):
        parts = request.path.strip("/").split("/")
        try:
            if (request.method, request.path) == ("GET", "/healthz"):
                return json_response(200, {"status": "ok", "epoch": self.ledger.epoch})
            if (request.method, parts) == ("GET", ["v1", "item"]):
                return json_response(200, self.ledger.item(now_ms()))
            if (request.method, parts) == ("GET", ["v1", "verdict"]):
                return json_response(200, self.ledger.verdict(now_ms()))
            if (request.method, parts) == ("POST", ["v1", "sale"]):
                return self.sale(request)
            if (request.method, parts) == ("POST", ["v1", "orders"]):
                return self.reserve(request.json())
            if request.method == "POST" and len(parts) == 4 and parts[3] == "pay":
                return json_response(200, self.ledger.pay(parts[2], now_ms()))
            if request.method == "DELETE" and len(parts) == 3:
                return json_response(200, self.ledger.cancel(parts[2], now_ms()))
        except ValueError as problem:
            return error(400, "bad_request", str(problem))
        return error(404, "not_found", "There is nothing here.")

    def reserve(self, order):
        key, quantity = order.get("key"), order.get("quantity")
        if not isinstance(key, str) or not 0 < len(key) <= KEY_LENGTH_MAX:
            raise ValueError("key must be a short text")
        if type(quantity) is not int or not 0 < quantity <= self.config.quantity_max:
            raise ValueError(f"quantity must be 1 to {self.config.quantity_max}")
        window_ms = self.config.payment_window_s * 1_000
        return json_response(200, self.ledger.reserve(key, quantity, now_ms(), window_ms))

    def sale(self, request):
        if not is_operator(request, self.config.sale_token):
            return error(403, "forbidden", "Only the operator opens and closes the sale.")
        order = request.json()
        if order.get("open") is False:
            return json_response(200, self.ledger.close())
        stock = order.get("stock")
        if type(stock) is not int or not 0 < stock <= STOCK_MAX:
            raise ValueError(f"stock must be 1 to {STOCK_MAX}")
        result = self.ledger.open(stock, new_epoch(), new_salt())
        print(f"sale {result['code']}: stock {stock}, epoch {self.ledger.epoch}", flush=True)
        return json_response(200, result)


def is_operator(request, token):
    given = request.headers.get("authorization", "")
    return bool(token) and hmac.compare_digest(given.encode(), f"Bearer {token}".encode())


def new_epoch():
    return os.urandom(8).hex()


def new_salt():
    return os.urandom(16).hex()


def now_ms():
    """Monotonic: a clock that is set must not expire anybody's order."""
    return time.monotonic_ns() // 1_000_000


async def main():
    config = settings.read()
    server = Server(Inventory(config).handle)
    port = await server.listen(config.port)
    print(f"inventory listens on port {port}; the sale is closed", flush=True)
    await server.serve_until_stopped()


if __name__ == "__main__":
    asyncio.run(main())
