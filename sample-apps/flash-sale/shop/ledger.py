"""The stock and its orders: who may have how much of what is left.

Pure and in memory: time and randomness are arguments. What holds at every moment:
`available + reserved + sold == total`, and there is at most one order for a key.

    reserved --pay--> paid
       |------ cancel --> cancelled   (stock back)
       '-- window over --> expired    (stock back)

`redis_stock.py` does the same in Redis; tests hold both to one contract.
"""

import hashlib
import heapq
from dataclasses import dataclass

# An order takes about 600 bytes here; this many fit an instance of 64 MB beside the server.
ORDERS_MAX = 40_000
# The most that a sale can begin with.
STOCK_MAX = 1_000_000_000


@dataclass
class Order:
    __slots__ = ("id", "key", "quantity", "state", "expires_ms")
    id: str
    key: str
    quantity: int
    state: str
    expires_ms: int


def outcome(code, order=None, replay=False):
    """What became of a request, in the form in which it also travels."""
    order = {name: getattr(order, name) for name in Order.__slots__} if order else None
    return {"code": code, "order": order, "replay": replay}


class Ledger:
    """Starts closed, so that one that has lost its memory sells nothing."""

    def __init__(self, epoch, salt):
        self.epoch = epoch
        self.salt = salt
        self.is_open = False
        self.total = self.available = self.reserved = self.sold = 0
        self.orders = {}
        self.due = []

    def open(self, stock, epoch, salt):
        """A new sale. What an earlier one knew is gone: its orders cannot be paid any more."""
        if self.is_open:
            return outcome("already_open")
        self.__init__(epoch, salt)
        self.is_open = True
        self.total = self.available = stock
        return outcome("opened")

    def close(self):
        """No more reservations; those that are there can still be paid."""
        self.is_open = False
        return outcome("closed")

    def reserve(self, key, quantity, now_ms, window_ms):
        self.expire(now_ms)
        order = self.orders.get(self.order_id(key))
        if order:
            return self.replay(order, quantity)
        if not self.is_open:
            return outcome("closed")
        if quantity > self.available:
            return outcome("sold_out")
        if len(self.orders) >= ORDERS_MAX:
            return outcome("too_many_orders")
        order = Order(self.order_id(key), key, quantity, "reserved", now_ms + window_ms)
        self.orders[order.id] = order
        heapq.heappush(self.due, (order.expires_ms, order.id))
        self.available -= quantity
        self.reserved += quantity
        return outcome("reserved", order)

    def replay(self, order, quantity):
        if order.quantity != quantity:
            return outcome("key_reused", order)
        return outcome(order.state, order, replay=True)

    def pay(self, order_id, now_ms):
        self.expire(now_ms)
        order = self.orders.get(order_id)
        if not order:
            return outcome("unknown")
        if order.state != "reserved":
            return outcome(order.state, order, replay=order.state == "paid")
        order.state = "paid"
        self.reserved -= order.quantity
        self.sold += order.quantity
        return outcome("paid", order)

    def cancel(self, order_id, now_ms):
        self.expire(now_ms)
        order = self.orders.get(order_id)
        if not order:
            return outcome("unknown")
        if order.state != "reserved":
            return outcome(order.state, order, replay=order.state == "cancelled")
        self.give_back(order, "cancelled")
        return outcome("cancelled", order)

    def expire(self, now_ms):
        while self.due and self.due[0][0] <= now_ms:
            order = self.orders.get(heapq.heappop(self.due)[1])
            if order and order.state == "reserved":
                self.give_back(order, "expired")

    def give_back(self, order, state):
        order.state = state
        self.reserved -= order.quantity
        self.available += order.quantity

    def item(self, now_ms):
        self.expire(now_ms)
        return {
            "open": self.is_open,
            "epoch": self.epoch,
            "total": self.total,
            "available": self.available,
            "reserved": self.reserved,
            "sold": self.sold,
        }

    def verdict(self, now_ms):
        """Counts all orders again and holds them against the counters."""
        item = self.item(now_ms)
        orders = [(order.key, order.quantity, order.state) for order in self.orders.values()]
        return judge(item, orders)

    def order_id(self, key):
        return order_id(self.salt, key)


def order_id(salt, key):
    """One order for a key, by construction; the salt keeps others from guessing it."""
    return hashlib.sha1(f"{salt}|{key}".encode()).hexdigest()


def judge(item, orders):
    def sum_of(state):
        return sum(quantity for _, quantity, found in orders if found == state)

    sold, reserved = sum_of("paid"), sum_of("reserved")
    never_oversold = sold + reserved <= item["total"]
    books_balance = (
        sold == item["sold"]
        and reserved == item["reserved"]
        and item["available"] + item["reserved"] + item["sold"] == item["total"]
    )
    one_order_per_key = len({key for key, _, _ in orders}) == len(orders)
    return {
        "ok": never_oversold and books_balance and one_order_per_key,
        "never_oversold": never_oversold,
        "books_balance": books_balance,
        "one_order_per_key": one_order_per_key,
        "orders": len(orders),
        **item,
    }
