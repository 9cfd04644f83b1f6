"""Serves the site in ../public on $PORT when the stack has no nginx.

Follows the files that compile left beside it (directory, pushstate, dot_files, auth). Only the
standard library; one thread a connection, with a limit.
"""

import base64
import binascii
import hashlib
import hmac
import os
import signal
import sys
import threading
import urllib.parse
from functools import lru_cache
from http import HTTPStatus
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

HERE = os.path.dirname(os.path.abspath(__file__))
SITE = os.path.join(os.path.dirname(HERE), "public")
# More connections wait in the listen queue; each costs a thread.
CONNECTIONS_MAX = 256
# Seconds without a request after which a connection is closed.
IDLE_MAX = 30
# The rounds of Apache's MD5 scheme, part of its definition.
APR1_ROUNDS = 1000


def option(name):
    return os.path.exists(os.path.join(HERE, name))


LIST_FOLDERS = option("directory")
PUSHSTATE = option("pushstate")
DOT_FILES = option("dot_files")


class Handler(SimpleHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = IDLE_MAX
    server_version = "static"
    sys_version = ""

    def __init__(self, *args):
        super().__init__(*args, directory=SITE)

    def send_head(self):
        if not authorised(self.headers.get("Authorization")):
            return self.ask_for_password()
        path = urllib.parse.urlsplit(self.path).path
        parts = urllib.parse.unquote(path).split("/")
        if not DOT_FILES and any(part.startswith(".") for part in parts):
            return self.send_error(HTTPStatus.NOT_FOUND)
        if PUSHSTATE and not os.path.exists(self.translate_path(self.path)):
            self.path = "/"
        return super().send_head()

    def list_directory(self, path):
        if LIST_FOLDERS:
            return super().list_directory(path)
        return self.send_error(HTTPStatus.FORBIDDEN)

    def ask_for_password(self):
        self.send_response(HTTPStatus.UNAUTHORIZED)
        self.send_header("WWW-Authenticate", 'Basic realm="Restricted"')
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *args):
        """The router writes the access log."""


def read_users():
    path = os.path.join(HERE, "auth")
    if not os.path.exists(path):
        return None
    with open(path, encoding="utf-8") as lines:
        pairs = (line.strip().split(":", 1) for line in lines if ":" in line)
        return {name: digest for name, digest in pairs if not name.startswith("#")}


USERS = read_users()


def authorised(header):
    if USERS is None:
        return True
    scheme, _, token = (header or "").partition(" ")
    if scheme.lower() != "basic":
        return False
    try:
        name, _, password = base64.b64decode(token, validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        return False
    return name in USERS and password_matches(password, USERS[name])


@lru_cache(maxsize=1024)
def password_matches(password, stored):
    if stored.startswith("{SHA}"):
        digest = base64.b64encode(hashlib.sha1(password.encode()).digest()).decode()
        return hmac.compare_digest("{SHA}" + digest, stored)
    if stored.startswith("$apr1$"):
        return hmac.compare_digest(apr1(password, stored.split("$")[2]), stored)
    print(f"Staticfile.auth: only $apr1$ and {{SHA}} passwords are known: {stored[:5]}...",
          file=sys.stderr, flush=True)
    return False


def apr1(password, salt):
    """Apache's MD5 scheme, as `htpasswd -m` writes it."""
    secret, seasoning = password.encode(), salt[:8].encode()
    inner = hashlib.md5(secret + seasoning + secret).digest()
    start = hashlib.md5(secret + b"$apr1$" + seasoning)
    start.update((inner * (len(secret) // 16 + 1))[: len(secret)])
    length = len(secret)
    while length:
        start.update(b"\0" if length & 1 else secret[:1])
        length >>= 1
    digest = start.digest()
    for i in range(APR1_ROUNDS):
        parts = [secret if i & 1 else digest]
        if i % 3:
            parts.append(seasoning)
        if i % 7:
            parts.append(secret)
        parts.append(digest if i & 1 else secret)
        digest = hashlib.md5(b"".join(parts)).digest()
    return f"$apr1${salt[:8]}${to_base64(digest)}"


def to_base64(digest):
    alphabet = "./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
    text = ""
    for a, b, c in ((0, 6, 12), (1, 7, 13), (2, 8, 14), (3, 9, 15), (4, 10, 5)):
        bits = digest[a] << 16 | digest[b] << 8 | digest[c]
        text += "".join(alphabet[bits >> shift & 63] for shift in (0, 6, 12, 18))
    return text + alphabet[digest[11] & 63] + alphabet[digest[11] >> 6]


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 1024

    def __init__(self, address):
        self.places = threading.Semaphore(CONNECTIONS_MAX)
        super().__init__(address, Handler)

    def process_request(self, request, client_address):
        self.places.acquire()
        super().process_request(request, client_address)

    def process_request_thread(self, request, client_address):
        try:
            super().process_request_thread(request, client_address)
        finally:
            self.places.release()

    def handle_error(self, request, client_address):
        """Clients that go away are no news."""


def main():
    server = Server(("0.0.0.0", int(os.environ.get("PORT", "8080"))))
    signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=server.shutdown).start())
    print(f"Serving the site on port {server.server_port}", flush=True)
    server.serve_forever(poll_interval=0.1)


if __name__ == "__main__":
    main()
