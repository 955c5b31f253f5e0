"""An HTTP proxy in front of a search engine or an API server that answers with errors on request, and counts what passes."""

import collections
import http.client
import socket
import socketserver
import ssl
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
    """http://127.0.0.1:PORT -> upstream, http:// or https:// (`authority`: the file with its certificate authority).

    fail(503) makes every request answer 503, fail(429, every=3) each third, fail("reset") closes the connection, and
    fail("hang") leaves it without an answer; `path` limits it to requests whose path contains that,
    `wanted` to those whose (path, body) are wanted(). `body` is the answer's, or makes it from the request's.
    heal() ends it.
    hold(wanted) keeps requests whose (path, body) are wanted(), with no answer, and release() passes them on, as if they
    had been under way all the time; hold(wanted, "cut") closes their connections meanwhile, hold(wanted, 504) answers.
    slow(7, unless="/_bulk") delays every answer by 7 s except to requests whose path contains that, slow(7, only="/_bulk")
    only to those; slow(0) ends it."""

    def __init__(self, upstream, authority=None):
        self.upstream = urlsplit(upstream)
        self.tls = ssl.create_default_context(cafile=authority) if self.upstream.scheme == "https" else None
        self.requests = collections.Counter()  # (method, path without query) -> how many came
        self.failed = 0
        self.bytes = 0
        self.held = []  # events that wake the held requests
        self.late = []  # the upstream's answers to those that were released: (status, text)
        self.recorded = None  # a list here collects (method, path, headers, body) of every request that is passed on
        self.refuse = None  # refuse(method, path, headers, body): the (status, text) of requests that are not let through, or None
        self._fault = self._wanted = None
        self._hold = None
        self._delay = (0, None, "")
        self._seen = 0
        self._lock = threading.Lock()
        self._healed = threading.Event()
        self._server = _Server(("127.0.0.1", 0), self._handler())
        self.port = self._server.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}"
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    def fail(self, how, *, every=1, path="", wanted=None, headers=None, body=None):
        with self._lock:
            self._healed.clear()
            self._seen, self.failed = 0, 0
            self._wanted = wanted
            self._fault = (how, every, path, headers or {}, body)

    def slow(self, seconds, *, unless=None, only=""):
        self._delay = (seconds, unless, only)

    def hold(self, wanted, how="wait", *, most=1_000_000):
        with self._lock:
            self._hold = (wanted, how, len(self.held) + most)

    def stop_holding(self):
        """Lets later requests pass; what is held remains held."""
        with self._lock:
            self._hold = None

    def release(self):
        """Passes on what is held, and returns when the upstream has answered all of it."""
        self.stop_holding()
        for passing, done in self.held:
            passing.set()
        for passing, done in self.held:
            if not done.wait(60):
                raise RuntimeError("a released request was not answered")
        self.held = []

    def heal(self):
        with self._lock:
            self._fault = None
            self._healed.set()

    def count(self, part):
        """How many requests came whose path contains `part`."""
        return sum(n for (_, path), n in self.requests.items() if part in path)

    def close(self):
        self.heal()
        self.stop_holding()
        for passing, _ in self.held:
            passing.set()
        self._server.shutdown()
        self._server.server_close()

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.close()

    def connect(self, timeout):
        where = (self.upstream.hostname, self.upstream.port)
        if self.tls:
            return http.client.HTTPSConnection(*where, timeout=timeout, context=self.tls)
        return http.client.HTTPConnection(*where, timeout=timeout)

    def _decide(self, method, path, body):
        with self._lock:
            self.requests[method, path.split("?")[0]] += 1
            self.bytes += len(body)
            if not self._fault or self._fault[2] not in path or (self._wanted and not self._wanted(path, body)):
                return None
            self._seen += 1
            if self._seen % self._fault[1]:
                return None
            self.failed += 1
            return self._fault

    def _keep(self, path, body):
        """How the request is held, and its events; None: not at all."""
        with self._lock:
            if not self._hold or len(self.held) >= self._hold[2] or not self._hold[0](path, body):
                return None
            self.held.append((threading.Event(), threading.Event()))
            return self._hold[1], *self.held[-1]

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
                refusal = proxy.refuse and proxy.refuse(self.command, self.path, self.headers, body)
                if refusal:
                    self.answer(refusal[0], {"Content-Type": "application/json"}, refusal[1].encode())
                    return
                kept = proxy._keep(self.path, body)
                if kept:
                    self.pass_on_later(body, *kept)
                    return
                fault = proxy._decide(self.command, self.path, body)
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
                    answer = answer(body) if callable(answer) else answer
                    text = (answer or '{"error":{"type":"injected","reason":"injected by a test"},"status":%d}' % how).encode()
                    self.answer(how, {"Content-Type": "application/json", **headers}, text)

            do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = do_HEAD = forward

            def read_body(self):
                if self.headers.get("Transfer-Encoding", "").lower() == "chunked":
                    parts = []
                    while size := int(self.rfile.readline().split(b";")[0], 16):
                        parts.append(self.rfile.read(size))
                        self.rfile.readline()
                    self.rfile.readline()
                    return b"".join(parts)
                return self.rfile.read(int(self.headers.get("Content-Length") or 0))

            def pass_on_later(self, body, how, passing, done):
                if how == "cut":
                    self.close_connection = True
                    self.connection.shutdown(socket.SHUT_RDWR)
                elif how != "wait":
                    # This connection waits, so the client needs another one.
                    self.close_connection = True
                    self.answer(how, {"Content-Type": "text/html", "Connection": "close"}, b"<html>no answer in time</html>")
                passing.wait(300)
                headers = {k: v for k, v in self.headers.items() if k.lower() not in HOP_BY_HOP}
                upstream = proxy.connect(60)
                try:
                    upstream.request(self.command, self.path, body, headers)
                    response = upstream.getresponse()
                    text = response.read()
                    proxy.late.append((response.status, text.decode()))
                finally:
                    upstream.close()
                    done.set()
                if how == "wait":
                    self.answer(response.status, {"Content-Type": "application/json"}, text)

            def pass_on(self, body):
                headers = {k: v for k, v in self.headers.items() if k.lower() not in HOP_BY_HOP and k.lower() != "expect"}
                headers["Content-Length"] = str(len(body))
                if proxy.recorded is not None:
                    proxy.recorded.append((self.command, self.path, headers, body))
                for attempt in (1, 2):
                    try:
                        self.upstream = self.upstream or proxy.connect(600)
                        self.upstream.request(self.command, self.path, body, headers)
                        response = self.upstream.getresponse()
                        if "watch=" in self.path and response.status == 200:
                            self.stream(response)
                            return
                        text = response.read()
                        break
                    except (OSError, http.client.HTTPException):
                        # A kept-alive connection that the engine has closed; a second failure: it is away.
                        self.upstream = None
                        if attempt == 2:
                            self.close_connection = True
                            return
                        time.sleep(0.01)
                seconds, unless, only = proxy._delay
                if only in self.path and (unless is None or unless not in self.path):
                    time.sleep(seconds)
                self.answer(response.status, {k: v for k, v in response.getheaders() if k.lower() not in HOP_BY_HOP}, text)

            def stream(self, response):
                """Passes on a watch, piece by piece, until one of the two ends it."""
                self.close_connection = True
                self.send_response_only(200)
                self.send_header("Content-Type", response.headers["Content-Type"])
                self.send_header("Connection", "close")
                self.end_headers()
                self.wfile.flush()
                while piece := response.read1(65536):
                    self.wfile.write(piece)
                    self.wfile.flush()

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
