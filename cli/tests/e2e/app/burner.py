"""Burns as much CPU as it is asked to, and says which instance it is."""
import os
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        if self.path.startswith("/burn/"):
            until = time.thread_time() + int(self.path.rsplit("/", 1)[1]) / 1000
            while time.thread_time() < until:
                pass
        body = os.environ.get("CF_INSTANCE_INDEX", "?").encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments):
        pass


class Server(ThreadingHTTPServer):
    request_queue_size = 256
    daemon_threads = True


Server(("0.0.0.0", int(os.environ["PORT"])), Handler).serve_forever()
