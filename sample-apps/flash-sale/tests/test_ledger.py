"""The rules of the stock, without a network: every step at a time the test chooses."""

import random
import unittest

from shop import ledger
from shop.ledger import Ledger

WINDOW_MS = 1_000


def sale(stock):
    book = Ledger("epoch", "salt")
    book.open(stock, "epoch", "salt")
    return book


class LedgerTest(unittest.TestCase):
    def reserve(self, book, key, quantity=1, now=0):
        return book.reserve(key, quantity, now, WINDOW_MS)

    def test_starts_closed(self):
        book = Ledger("epoch", "salt")
        self.assertEqual(self.reserve(book, "a")["code"], "closed")
        self.assertFalse(book.item(0)["open"])

    def test_an_unpaid_reservation_gives_its_stock_back(self):
        book = sale(1)
        order = self.reserve(book, "a")["order"]
        self.assertEqual(self.reserve(book, "b", now=WINDOW_MS - 1)["code"], "sold_out")
        self.assertEqual(self.reserve(book, "b", now=WINDOW_MS)["code"], "reserved")
        self.assertEqual(book.pay(order["id"], WINDOW_MS)["code"], "expired")

    def test_the_same_key_is_the_same_order(self):
        book = sale(10)
        first, again = self.reserve(book, "a", 2), self.reserve(book, "a", 2)
        self.assertEqual((first["order"], first["replay"]), (again["order"], False))
        self.assertTrue(again["replay"])
        self.assertEqual(self.reserve(book, "a", 3)["code"], "key_reused")
        self.assertEqual(book.item(0)["available"], 8)

    def test_paying_and_cancelling_twice_changes_nothing(self):
        book = sale(10)
        paid, cancelled = self.reserve(book, "a")["order"]["id"], self.reserve(book, "b")["order"]["id"]
        for _ in range(2):
            self.assertEqual(book.pay(paid, 0)["code"], "paid")
            self.assertEqual(book.cancel(cancelled, 0)["code"], "cancelled")
        self.assertEqual(book.cancel(paid, 0)["code"], "paid")
        self.assertEqual(book.pay(cancelled, 0)["code"], "cancelled")
        item = book.item(0)
        self.assertEqual((item["available"], item["reserved"], item["sold"]), (9, 0, 1))

    def test_a_closed_sale_takes_payments_but_no_reservations(self):
        book = sale(10)
        order = self.reserve(book, "a")["order"]["id"]
        book.close()
        self.assertEqual(self.reserve(book, "b")["code"], "closed")
        self.assertEqual(book.pay(order, 0)["code"], "paid")

    def test_a_new_sale_knows_no_order_of_the_old_one(self):
        book = sale(10)
        order = self.reserve(book, "a")["order"]["id"]
        self.assertEqual(book.open(5, "other", "other")["code"], "already_open")
        book.close()
        book.open(5, "other", "other")
        self.assertEqual(book.pay(order, 0)["code"], "unknown")
        self.assertEqual(book.item(0)["available"], 5)

    def test_the_number_of_orders_has_a_limit(self):
        book = sale(ledger.STOCK_MAX)
        book.orders = dict.fromkeys(range(ledger.ORDERS_MAX))
        self.assertEqual(self.reserve(book, "a")["code"], "too_many_orders")

    def test_the_books_balance_after_any_steps(self):
        for seed in range(50):
            chance = random.Random(seed)
            book, now, orders = sale(chance.randrange(1, 30)), 0, ["none"]
            for _ in range(300):
                now += chance.randrange(0, 200)
                step = chance.randrange(3)
                if step == 0:
                    key = str(chance.randrange(60))
                    done = book.reserve(key, chance.randrange(1, 4), now, WINDOW_MS)
                    if done["order"]:
                        orders.append(done["order"]["id"])
                else:
                    (book.pay if step == 1 else book.cancel)(chance.choice(orders), now)
                verdict = book.verdict(now)
                self.assertTrue(verdict["ok"], f"seed {seed}: {verdict}")

    def test_the_verdict_finds_what_is_wrong(self):
        book = sale(2)
        order = self.reserve(book, "a", 2)["order"]["id"]
        book.pay(order, 0)
        book.orders[order].quantity = 3
        verdict = book.verdict(0)
        self.assertFalse(verdict["ok"])
        self.assertFalse(verdict["never_oversold"])
        self.assertFalse(verdict["books_balance"])
