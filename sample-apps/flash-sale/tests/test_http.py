"""The little server: what it takes, what it refuses, and how many it holds."""

import socket
import time
import unittest

from shop.http import BODY_BYTES_MAX, HEAD_BYTES_MAX
from tests.processes import free_port, start_front


class HttpTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        # Nobody listens there: these tests need no stock.
        cls.front = start_front(INVENTORY_URL=f"http://127.0.0.1:{free_port()}")

    @classmethod
    def tearDownClass(cls):
        assert cls.front.stop() == 0

    def dial(self):
        return socket.create_connection(("127.0.0.1", self.front.port), timeout=10)

    def exchange(self, *pieces):
        """Sends pieces, and returns all until the server closes."""
        with self.dial() as connection:
            for piece in pieces:
                connection.sendall(piece)
            answer = b""
            while data := connection.recv(65_536):
                answer += data
        return answer.decode("latin-1")

    def status(self, *pieces):
        return int(self.exchange(*pieces).split(" ")[1])

    def test_a_request_may_come_in_pieces(self):
        head = b"GET /healthz HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
        self.assertEqual(self.status(*(bytes([byte]) for byte in head)), 200)

    def test_requests_sent_ahead_are_answered_in_order(self):
        one = b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n"
        last = b"GET /nothing HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
        answer = self.exchange(one * 5 + last)
        self.assertEqual(answer.count("HTTP/1.1 200 OK"), 5)
        self.assertTrue(answer.rindex("404 Not Found") > answer.rindex("200 OK"))

    def test_head_has_no_body(self):
        answer = self.exchange(b"HEAD /healthz HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        self.assertTrue(answer.startswith("HTTP/1.1 200") and answer.endswith("\r\n\r\n"))

    def test_what_is_malformed_or_too_long_is_refused(self):
        post = b"POST /api/reservations HTTP/1.1\r\nHost: a\r\n"
        for expected, request in [
            (400, b"hello\r\n\r\n"),
            (400, b"GET / HTTP/1.1\r\nno colon\r\n\r\n"),
            (400, post + b"Content-Length: -1\r\n\r\n"),
            (400, post + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\n"),
            (411, post + b"Transfer-Encoding: chunked\r\n\r\n"),
            (413, post + b"Content-Length: %d\r\n\r\n" % (BODY_BYTES_MAX + 1)),
            (431, b"GET / HTTP/1.1\r\nX: " + b"x" * HEAD_BYTES_MAX),
        ]:
            with self.subTest(request=request[:60]):
                self.assertEqual(self.status(request), expected)

    def test_a_body_that_is_no_json_is_told(self):
        head = b"POST /api/reservations HTTP/1.1\r\nHost: a\r\nIdempotency-Key: k\r\n"
        for body in (b"{", b"[]", b"\xff"):
            length = b"Content-Length: %d\r\nConnection: close\r\n\r\n" % len(body)
            self.assertEqual(self.status(head + length + body), 400)

    def test_many_connections_stay_open(self):
        request = b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n"
        connections = [self.dial() for _ in range(400)]
        try:
            for _ in range(2):
                for connection in connections:
                    connection.sendall(request)
                for connection in connections:
                    self.assertTrue(connection.recv(4_096).startswith(b"HTTP/1.1 200"))
        finally:
            for connection in connections:
                connection.close()

    def test_sigterm_ends_idle_connections_at_once(self):
        front = start_front(INVENTORY_URL=f"http://127.0.0.1:{free_port()}")
        with socket.create_connection(("127.0.0.1", front.port), timeout=10) as idle:
            idle.sendall(b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n")
            self.assertTrue(idle.recv(4_096).startswith(b"HTTP/1.1 200"))
            began = time.monotonic()
            self.assertEqual(front.stop(), 0)
            self.assertLess(time.monotonic() - began, 3)
            self.assertEqual(idle.recv(10), b"")
