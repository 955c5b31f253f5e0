"""An HTTP proxy in front of a search engine that answers with errors on request, and counts what passes."""

import collections
import http.client
import socketserver
import threading
import time
from http.server import BaseHTTPRequestHandler
from urllib.parse import urlsplit

HOP_BY_HOP = {"connection", "keep-alive", "transfer-encoding", "te", "trailer", "upgrade", "content-length"}


class _Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True
    request_queue_size = 64


class FaultProxy:
    """http://127.0.0.1:PORT -> upstream.

    fail(503) makes every request answer 503, fail(429, every=3) each third, fail("reset") closes the connection, and
    fail("hang") leaves it without an answer; `path` limits it to requests whose path contains that. heal() ends it.
    slow(7, unless="/_bulk") delays every answer by 7 s except to requests whose path contains that; slow(0) ends it."""

    def __init__(self, upstream):
        self.upstream = urlsplit(upstream)
        self.requests = collections.Counter()  # (method, path without query) -> how many came
        self.failed = 0
        self.bytes = 0
        self.recorded = None  # a list here collects (method, path, headers, body) of every request that is passed on
        self._fault = None
        self._delay = (0, None)
        self._seen = 0
        self._lock = threading.Lock()
        self._healed = threading.Event()
        self._server = _Server(("127.0.0.1", 0), self._handler())
        self.port = self._server.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}"
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    def fail(self, how, *, every=1, path="", headers=None, body=None):
        with self._lock:
            self._healed.clear()
            self._seen, self.failed = 0, 0
            self._fault = (how, every, path, headers or {}, body)

    def slow(self, seconds, *, unless=None):
        self._delay = (seconds, unless)

    def heal(self):
        with self._lock:
            self._fault = None
            self._healed.set()

    def count(self, part):
        """How many requests came whose path contains `part`."""
        return sum(n for (_, path), n in self.requests.items() if part in path)

    def close(self):
        self.heal()
        self._server.shutdown()
        self._server.server_close()

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.close()

    def _decide(self, method, path, size):
        with self._lock:
            self.requests[method, path.split("?")[0]] += 1
            self.bytes += size
            if not self._fault or self._fault[2] not in path:
                return None
            self._seen += 1
            if self._seen % self._fault[1]:
                return None
            self.failed += 1
            return self._fault

    def _handler(proxy):  # noqa: N805 (the handler's own `self` is another object)
        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            # Headers and body leave in one segment; two would wait for each other's acknowledgement.
            wbufsize = 65536
            disable_nagle_algorithm = True
            upstream = None

            def log_message(self, *arguments):
                pass

            def forward(self):
                body = self.read_body()
                fault = proxy._decide(self.command, self.path, len(body))
                if fault is None:
                    self.pass_on(body)
                    return
                how, _, _, headers, answer = fault
                if how == "reset":
                    self.close_connection = True
                elif how == "hang":
                    proxy._healed.wait(300)
                    self.close_connection = True
                else:
                    text = (answer or '{"error":{"type":"injected","reason":"injected by a test"},"status":%d}' % how).encode()
                    self.answer(how, {"Content-Type": "application/json", **headers}, text)

            do_GET = do_POST = do_PUT = do_DELETE = do_HEAD = forward

            def read_body(self):
                if self.headers.get("Transfer-Encoding", "").lower() == "chunked":
                    parts = []
                    while size := int(self.rfile.readline().split(b";")[0], 16):
                        parts.append(self.rfile.read(size))
                        self.rfile.readline()
                    self.rfile.readline()
                    return b"".join(parts)
                return self.rfile.read(int(self.headers.get("Content-Length") or 0))

            def pass_on(self, body):
                headers = {k: v for k, v in self.headers.items() if k.lower() not in HOP_BY_HOP and k.lower() != "expect"}
                headers["Content-Length"] = str(len(body))
                if proxy.recorded is not None:
                    proxy.recorded.append((self.command, self.path, headers, body))
                for attempt in (1, 2):
                    try:
                        self.upstream = self.upstream or http.client.HTTPConnection(
                            proxy.upstream.hostname, proxy.upstream.port, timeout=120)
                        self.upstream.request(self.command, self.path, body, headers)
                        response = self.upstream.getresponse()
                        text = response.read()
                        break
                    except (OSError, http.client.HTTPException):
                        # A kept connection that the engine closed meanwhile; a second failure is the engine's absence.
                        self.upstream = None
                        if attempt == 2:
                            self.close_connection = True
                            return
                        time.sleep(0.01)
                seconds, unless = proxy._delay
                if unless is None or unless not in self.path:
                    time.sleep(seconds)
                self.answer(response.status, {k: v for k, v in response.getheaders() if k.lower() not in HOP_BY_HOP}, text)

            def answer(self, status, headers, text):
                self.send_response_only(status)
                for key, value in headers.items():
                    self.send_header(key, value)
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(text)
                self.wfile.flush()

        return Handler
