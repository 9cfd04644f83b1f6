"""The real shop over HTTP, once with a real Redis and once with the inventory app."""

import threading
import time
import unittest

from tests.processes import (
    TOKEN,
    Client,
    RedisServer,
    free_port,
    start_front,
    start_inventory,
    wait_until,
    with_redis,
)


class Contract:
    """What customers see, whatever holds the stock."""

    @classmethod
    def setUpClass(cls):
        cls.backend, env = cls.start_backend()
        cls.fronts = [start_front(PAYMENT_WINDOW_S="3", CF_INSTANCE_INDEX=str(i), **env) for i in (0, 1)]

    @classmethod
    def tearDownClass(cls):
        for front in cls.fronts:
            assert front.stop() == 0, "the front ends cleanly"
        cls.backend.kill()

    def setUp(self):
        self.client = Client(self.fronts[0].port)
        self.other = Client(self.fronts[1].port)
        self.client.close_sale()

    def tearDown(self):
        self.client.connection.close()
        self.other.connection.close()

    def fresh(self, path):
        """An answer that the front has not kept from before."""
        time.sleep(1.1 if path == "/api/verdict" else 0.25)
        return self.client.call("GET", path)[1]

    def test_a_purchase(self):
        self.assertEqual(self.client.open_sale(10), (200, {"sale": "opened"}))
        status, order = self.client.reserve("purchase", 3)
        self.assertEqual((status, order["state"], order["quantity"]), (201, "reserved", 3))
        item = self.fresh("/api/item")
        self.assertEqual((item["open"], item["available"], item["reserved"]), (True, 7, 3))
        status, paid = self.other.pay(order["id"])
        self.assertEqual((status, paid["state"]), (200, "paid"))
        self.assertNotEqual(paid["receipt"], order["receipt"])
        verdict = self.fresh("/api/verdict")
        self.assertTrue(verdict["ok"])
        self.assertEqual((verdict["sold"], verdict["available"], verdict["orders"]), (3, 7, 1))

    def test_the_same_key_is_one_order_on_every_instance(self):
        self.client.open_sale(10)
        first, again = self.client.reserve("twice", 2), self.other.reserve("twice", 2)
        self.assertEqual((first[0], again[0]), (201, 200))
        self.assertEqual(first[1], again[1])
        self.assertEqual(self.client.reserve("twice", 1)[1]["error"], "key_reused")

    def test_a_closed_sale_and_a_sold_out_sale_say_so(self):
        status, answer = self.client.reserve("early")
        self.assertEqual((status, answer["error"]), (409, "sale_closed"))
        self.client.open_sale(2)
        self.client.reserve("all", 2)
        status, answer = self.client.reserve("late")
        self.assertEqual((status, answer["error"]), (409, "sold_out"))

    def test_what_is_given_back_can_be_bought(self):
        self.client.open_sale(1)
        order = self.client.reserve("giver")[1]
        self.assertEqual(self.other.cancel(order["id"])[0], 200)
        self.assertEqual(self.client.reserve("taker")[0], 201)
        self.assertEqual(self.client.pay(order["id"])[1]["error"], "reservation_cancelled")

    def test_what_is_not_paid_in_time_comes_back(self):
        self.client.open_sale(1)
        order = self.client.reserve("slow")[1]
        wait_until(lambda: self.other.reserve("next")[0] == 201, "the window's end")
        self.assertEqual(self.client.pay(order["id"])[1]["error"], "reservation_expired")
        self.assertEqual(self.client.reserve("slow")[1]["error"], "reservation_expired")

    def test_only_the_operator_opens_the_sale(self):
        self.assertEqual(self.client.open_sale(1, "wrong")[0], 403)
        self.assertEqual(self.client.open_sale(1)[0], 200)
        self.assertEqual(self.client.open_sale(1)[1]["error"], "sale_already_open")

    def test_bad_requests_are_told_what_to_do(self):
        self.client.open_sale(5)
        for status, error, answer in [
            (400, "idempotency_key_required", self.client.call("POST", "/api/reservations", {})),
            (400, "idempotency_key_required", self.client.reserve("k" * 129)),
            (422, "quantity", self.client.reserve("k", 0)),
            (422, "quantity", self.client.reserve("k", 5)),
            (422, "quantity", self.client.reserve("k", "1")),
            (422, "quantity", self.client.reserve("k", True)),
            (404, "unknown_reservation", self.client.pay("nothing")),
            (404, "not_found", self.client.cancel("..%2F..%2Fv1%2Fsale")),
            (404, "not_found", self.client.call("GET", "/api/nothing")),
            (422, "stock", self.client.open_sale(-1)),
        ]:
            with self.subTest(error=error):
                self.assertEqual((answer[0], answer[1].get("error")), (status, error))

    def test_the_page_and_the_health_check_answer(self):
        status, page = self.client.call("GET", "/")
        self.assertEqual(status, 200)
        self.assertIn(b"Lighthouse", page)
        self.assertNotIn(b"@ITEM@", page)
        self.assertEqual(self.client.call("GET", "/healthz")[1]["status"], "ok")

    def test_a_rush_never_oversells(self):
        stock, buyers, tries = 150, 24, 25
        self.client.open_sale(stock)
        paid, problems = [], []

        def buy(number):
            client = Client(self.fronts[number % 2].port)
            for attempt in range(tries):
                # Every third attempt repeats a key that another buyer uses as well.
                shared = attempt % 3 == 0
                key = f"shared-{attempt}-{number // 2}" if shared else f"{number}-{attempt}"
                status, order = client.reserve(key, 1 + attempt % 2)
                if status not in (200, 201):
                    # A shared order may have been cancelled by the other buyer.
                    if order["error"] not in ("sold_out", "reservation_cancelled"):
                        problems.append(order)
                    continue
                if attempt % 5 == 1:
                    client.cancel(order["id"])
                    continue
                status, done = client.pay(order["id"])
                if status == 200:
                    paid.append((done["id"], done["quantity"]))
            client.connection.close()

        threads = [threading.Thread(target=buy, args=(number,)) for number in range(buyers)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(problems, [])
        # A shared order is paid by both who hold its key, and counts once.
        sold = sum(dict(paid).values())
        verdict = self.fresh("/api/verdict")
        self.assertTrue(verdict["ok"], verdict)
        self.assertEqual(verdict["sold"], sold, "what customers were told is what the books say")
        self.assertLessEqual(sold, stock)
        self.assertGreater(sold, stock * 0.9, "the rush nearly empties the stock")


class RedisShop(Contract, unittest.TestCase):
    @classmethod
    def start_backend(cls):
        redis = RedisServer()
        return redis, with_redis(redis.uri)


class InventoryShop(Contract, unittest.TestCase):
    @classmethod
    def start_backend(cls):
        inventory = start_inventory(PAYMENT_WINDOW_S="3")
        return inventory, {"INVENTORY_URL": f"http://127.0.0.1:{inventory.port}"}

    def test_a_restarted_inventory_closes_the_sale(self):
        port = free_port()
        inventory = start_inventory(port)
        front = start_front(INVENTORY_URL=f"http://127.0.0.1:{port}")
        client = Client(front.port)
        client.open_sale(5)
        order = client.reserve("before")[1]
        inventory.kill()
        status, answer = client.reserve("during")
        self.assertEqual((status, answer["error"]), (503, "stock_unavailable"))
        inventory = start_inventory(port)
        self.assertEqual(client.reserve("after")[1]["error"], "sale_closed")
        self.assertEqual(client.pay(order["id"])[1]["error"], "unknown_reservation")
        self.assertEqual(client.open_sale(4)[0], 200)
        self.assertEqual(client.reserve("reopened")[0], 201)
        client.connection.close()
        self.assertEqual(front.stop(), 0)
        self.assertEqual(inventory.stop(), 0)

    def test_only_the_operator_opens_the_inventory(self):
        direct = Client(self.backend.port)
        status, _ = direct.call("POST", "/v1/sale", {"stock": 9}, Authorization=f"Bearer {TOKEN}x")
        self.assertEqual(status, 403)
        direct.connection.close()


class LostRedis(unittest.TestCase):
    def test_the_shop_says_so_and_comes_back_with_redis(self):
        redis = RedisServer()
        front = start_front(**with_redis(redis.uri))
        client = Client(front.port)
        client.open_sale(5)
        redis.kill()
        status, answer = client.reserve("during")
        self.assertEqual((status, answer["error"]), (503, "stock_unavailable"))
        self.assertEqual(client.call("GET", "/healthz")[0], 200, "no reason to restart the shop")
        client.connection.close()
        self.assertEqual(front.stop(), 0)
