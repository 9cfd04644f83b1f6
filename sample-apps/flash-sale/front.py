"""The shop: the page, and the API that the page and everybody else uses.

It keeps nothing itself, so any number of instances can run. The stock lives in Redis when one is
bound, else in the companion app `inventory`; either way each step there is atomic and idempotent.
"""

import asyncio
import hashlib
import hmac
import html
import os
import re
import sys

from shop import settings
from shop.errors import Unavailable
from shop.http import Response, Server, error, json_response
from shop.ledger import STOCK_MAX

# How old the numbers on the page may be: one question to the stock serves all who look.
ITEM_AGE_MAX_S = 0.2
VERDICT_AGE_MAX_S = 1.0
KEY = re.compile(r"[\x21-\x7e]{1,128}")
PAGE_PATH = os.path.join(os.path.dirname(os.path.abspath(__file__)), "shop", "page.html")

# What each outcome of the stock is in HTTP, and what to tell the customer.
REFUSALS = {
    "closed": (409, "sale_closed", "The sale is closed."),
    "sold_out": (409, "sold_out", "Not enough is left. Stock comes back when others do not pay."),
    "expired": (409, "reservation_expired", "The payment window is over. Reserve again."),
    "cancelled": (409, "reservation_cancelled", "This reservation was cancelled. Reserve again."),
    "key_reused": (422, "key_reused", "This Idempotency-Key was used for another quantity."),
    "unknown": (404, "unknown_reservation", "There is no such reservation in this sale."),
    "too_many_orders": (503, "too_many_orders", "The inventory is full. Use Redis for more."),
    "already_open": (409, "sale_already_open", "The sale is open. Close it first."),
}


class Shop:
    def __init__(self, config, stock):
        self.config = config
        self.stock = stock
        self.item = Cached(stock.item, ITEM_AGE_MAX_S)
        self.verdict = Cached(stock.verdict, VERDICT_AGE_MAX_S)
        with open(PAGE_PATH, "rb") as page:
            self.page = page.read().replace(b"@ITEM@", html.escape(config.item_name).encode())

    async def handle(self, request):
        """The list of all there is."""
        parts = request.path.strip("/").split("/")
        method = "GET" if request.method == "HEAD" else request.method
        try:
            if method == "GET" and request.path == "/":
                return self.show_page()
            if method == "GET" and request.path == "/healthz":
                return json_response(200, {"status": "ok", "stock": self.stock.kind})
            if parts[0] == "api":
                return await self.api(method, parts[1:], request)
        except Unavailable as problem:
            print(f"stock unavailable: {problem}", file=sys.stderr, flush=True)
            return error(
                503,
                "stock_unavailable",
                "The stock does not answer. Try again with the same Idempotency-Key.",
                Retry_After="1",
            )
        except ValueError as problem:
            return error(400, "bad_request", str(problem))
        return error(404, "not_found", "There is nothing here.")

    async def api(self, method, parts, request):
        if (method, parts) == ("GET", ["item"]):
            return await self.show_item()
        if (method, parts) == ("GET", ["verdict"]):
            verdict = await self.verdict.get()
            return json_response(200 if verdict["ok"] else 500, verdict)
        if (method, parts) == ("POST", ["sale"]):
            return await self.sale(request)
        if (method, parts) == ("POST", ["reservations"]):
            return await self.reserve(request)
        if method == "POST" and len(parts) == 3 and (parts[0], parts[2]) == ("reservations", "pay"):
            return self.present(await self.stock.pay(parts[1]), "paid")
        if method == "DELETE" and len(parts) == 2 and parts[0] == "reservations":
            return self.present(await self.stock.cancel(parts[1]), "cancelled")
        return error(404, "not_found", "There is nothing here.")

    def show_page(self):
        headers = {
            "Content-Type": "text/html; charset=utf-8",
            "Cache-Control": "no-cache",
            "X-Content-Type-Options": "nosniff",
            "Content-Security-Policy": "default-src 'self'; style-src 'unsafe-inline'; "
            "script-src 'unsafe-inline'; img-src data:; frame-ancestors 'none'",
        }
        return Response(200, self.page, headers)

    async def show_item(self):
        return json_response(
            200,
            {
                "name": self.config.item_name,
                "price_cents": self.config.price_cents,
                "quantity_max": self.config.quantity_max,
                "payment_window_s": self.config.payment_window_s,
                "instance": self.config.instance,
                **await self.item.get(),
            },
        )

    async def reserve(self, request):
        key = request.headers.get("idempotency-key", "")
        if not KEY.fullmatch(key):
            return error(
                400,
                "idempotency_key_required",
                "Send a header Idempotency-Key with 1 to 128 visible characters, new for each order.",
            )
        quantity = request.json().get("quantity", 1)
        if type(quantity) is not int or not 0 < quantity <= self.config.quantity_max:
            return error(422, "quantity", f"quantity must be 1 to {self.config.quantity_max}.")
        return self.present(await self.stock.reserve(key, quantity), "reserved", "paid")

    async def sale(self, request):
        token = self.config.sale_token
        given = request.headers.get("authorization", "")
        if not token or not hmac.compare_digest(given.encode(), f"Bearer {token}".encode()):
            return error(403, "forbidden", "Send the token of SALE_TOKEN: Authorization: Bearer ...")
        order = request.json()
        if order.get("open") is False:
            return self.present(await self.stock.close_sale(token), "closed")
        stock = order.get("stock")
        if type(stock) is not int or not 0 < stock <= STOCK_MAX:
            return error(422, "stock", f"stock must be 1 to {STOCK_MAX}.")
        return self.present(await self.stock.open(stock, token), "opened")

    def present(self, outcome, *expected):
        """An outcome of the stock as an answer: what was hoped for, or why not."""
        code, order = outcome.get("code"), outcome.get("order")
        if code == "paid" and "paid" not in expected:
            return error(409, "already_paid", "This reservation was paid already.")
        if code not in expected:
            refusal = REFUSALS.get(code) or (502, "stock_unknown", "The stock gave no clear answer.")
            return error(*refusal)
        if order is None:
            return json_response(200, {"sale": code})
        if not outcome["replay"]:
            print(f"order {order['id'][:10]} {code}: {order['quantity']}", flush=True)
        answer = {
            "id": order["id"],
            "state": order["state"],
            "quantity": order["quantity"],
            "total_cents": order["quantity"] * self.config.price_cents,
            "payment_window_s": self.config.payment_window_s,
            "receipt": receipt(self.config, order),
        }
        status = 201 if code == "reserved" and not outcome["replay"] else 200
        return json_response(status, answer, Idempotent_Replay=str(outcome["replay"]).lower())


def receipt(config, order):
    """Proves that the shop said so. The derivation costs CPU on purpose, as signing would."""
    text = f"{order['id']}|{order['quantity']}|{order['state']}".encode()
    secret = config.receipt_secret.encode()
    return hashlib.pbkdf2_hmac("sha256", text, secret, config.work_rounds).hex()


class Cached:
    """One answer for all who ask at about the same time."""

    def __init__(self, ask, age_max_s):
        self.ask = ask
        self.age_max_s = age_max_s
        self.value = None
        self.asked_at = float("-inf")
        self.asking = None

    async def get(self):
        loop = asyncio.get_running_loop()
        if self.asking is None and loop.time() - self.asked_at > self.age_max_s:
            self.asking = loop.create_task(self.refresh())
        if self.asking is not None:
            # Who asks may go away; the question goes on for the others.
            await asyncio.shield(self.asking)
        return self.value

    async def refresh(self):
        try:
            self.value = await self.ask()
            self.asked_at = asyncio.get_running_loop().time()
        finally:
            self.asking = None


def connect(config):
    """Only what is used is loaded: hundreds of shops may start at once."""
    if config.redis_uri:
        from shop.redis_stock import RedisStock

        return RedisStock(config.redis_uri, config.payment_window_s * 1_000)
    from shop.inventory_stock import InventoryStock

    return InventoryStock(config.inventory_url)


async def main():
    config = settings.read()
    stock = connect(config)
    server = Server(Shop(config, stock).handle)
    port = await server.listen(config.port)
    where = "Redis" if config.redis_uri else config.inventory_url
    print(f"flash-sale listens on port {port}; the stock is in {where}", flush=True)
    await server.serve_until_stopped()
    stock.shut_down()


if __name__ == "__main__":
    asyncio.run(main())
