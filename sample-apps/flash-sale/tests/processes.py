"""Starts the real programs on free loopback ports, and stops them by their pid."""

import http.client
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
TOKEN = "a token for tests"
START_MAX_S = 10


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def wait_until(true, what):
    deadline = time.monotonic() + START_MAX_S
    while not true():
        if time.monotonic() > deadline:
            raise AssertionError(f"{what} did not happen in {START_MAX_S} s")
        time.sleep(0.01)


class Program:
    def __init__(self, name, command, port, **env):
        self.name, self.port = name, port
        self.process = subprocess.Popen(
            command,
            cwd=HERE,
            env={"PATH": os.environ["PATH"], "PYTHONDONTWRITEBYTECODE": "1", **env},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        wait_until(self.answers, f"{name} on port {port}")

    def answers(self):
        if self.process.poll() is not None:
            raise AssertionError(f"{self.name} ended with {self.process.returncode}")
        try:
            socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
            return True
        except OSError:
            return False

    def stop(self):
        self.process.terminate()
        return self.process.wait(timeout=10)

    def kill(self):
        self.process.kill()
        self.process.wait()


class RedisServer(Program):
    def __init__(self):
        self.folder = tempfile.mkdtemp(prefix="flash-sale-redis-")
        port = free_port()
        command = ["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", ""]
        command += ["--appendonly", "no", "--dir", self.folder, "--requirepass", "secret"]
        super().__init__("redis-server", command, port)
        self.uri = f"redis://:secret@127.0.0.1:{port}/2"

    def kill(self):
        super().kill()
        shutil.rmtree(self.folder, ignore_errors=True)


def start_inventory(port=None, **env):
    port = port or free_port()
    return Program(
        "inventory", [sys.executable, "inventory.py"], port, PORT=str(port), SALE_TOKEN=TOKEN, **env
    )


def start_front(**env):
    port = free_port()
    return Program(
        "front", [sys.executable, "front.py"], port, PORT=str(port), SALE_TOKEN=TOKEN,
        **{"WORK_ROUNDS": "10", **env},
    )


def with_redis(uri):
    binding = {"name": "stock", "credentials": {"uri": uri}}
    return {"VCAP_SERVICES": json.dumps({"user-provided": [binding]})}


class Client:
    """One keep-alive connection to a front."""

    def __init__(self, port):
        self.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)

    def call(self, method, path, body=None, **headers):
        headers = {name.replace("_", "-"): value for name, value in headers.items()}
        data = None if body is None else json.dumps(body)
        self.connection.request(method, path, data, headers)
        answer = self.connection.getresponse()
        text = answer.read()
        return answer.status, json.loads(text) if text.startswith(b"{") else text

    def open_sale(self, stock, token=TOKEN):
        return self.call("POST", "/api/sale", {"stock": stock}, Authorization=f"Bearer {token}")

    def close_sale(self):
        return self.call("POST", "/api/sale", {"open": False}, Authorization=f"Bearer {TOKEN}")

    def reserve(self, key, quantity=1):
        return self.call(
            "POST", "/api/reservations", {"quantity": quantity}, Idempotency_Key=key
        )

    def pay(self, order):
        return self.call("POST", f"/api/reservations/{order}/pay", {})

    def cancel(self, order):
        return self.call("DELETE", f"/api/reservations/{order}")

    def verdict(self):
        return self.call("GET", "/api/verdict")
