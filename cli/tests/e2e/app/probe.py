"""The app of the end-to-end tests: answers what it is asked, or misbehaves as BEHAVE says."""
import json
import os
import signal
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

behave = os.environ.get("BEHAVE", "well")


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        if self.path == "/env":
            return self.answer(json.dumps(dict(os.environ)))
        if self.path == "/headers":
            return self.answer(json.dumps(dict(self.headers.items())))
        if self.path == "/exit":
            os._exit(3)
        if self.path == "/oom":
            self.answer("eating memory")
            hoard = []
            while True:
                hoard.append(bytearray(8 * 1024 * 1024))
        if self.path == "/hang":
            os.kill(os.getpid(), signal.SIGSTOP)
        if self.path == "/log":
            print("asked to log on stdout", flush=True)
            print("asked to log on stderr", file=sys.stderr, flush=True)
        if self.path == "/write":
            with open(os.path.join(os.environ["TMPDIR"], "note"), "w") as note:
                note.write("written")
            return self.answer(open(os.path.join(os.environ["TMPDIR"], "note")).read())
        self.answer(f"instance {os.environ.get('CF_INSTANCE_INDEX')} guid {os.environ.get('CF_INSTANCE_GUID')}")

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.answer(str(len(body)))

    def answer(self, text):
        body = text.encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments):
        pass


class Server(ThreadingHTTPServer):
    request_queue_size = 256
    daemon_threads = True


def flood():
    line = (b"x" * 1023 + b"\n") * 64
    while True:
        os.write(1, line)


def bomb():
    while True:
        try:
            if os.fork() == 0:
                time.sleep(30)
                os._exit(0)
        except OSError:
            time.sleep(0.2)


if behave == "crash":
    print("about to crash", flush=True)
    sys.exit(7)
if behave == "deaf":
    time.sleep(3600)
if behave == "flood":
    threading.Thread(target=flood, daemon=True).start()
if behave == "bomb":
    threading.Thread(target=bomb, daemon=True).start()
signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
print("probe listens", flush=True)
Server(("0.0.0.0", int(os.environ["PORT"])), Handler).serve_forever()
