"""What a PgSync cannot reach through its worker: the machine's metadata service, the API server, sockets, and others' answers."""

from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest
from parts.search import eventually

NAME = "books"


@pytest.fixture
def refused(operator, resources, books, opensearch, index):
    """refused("SourceReachable", words, source.host=...): applies it, and expects that side to be refused."""

    def apply(urls=None, **spec):
        resources.apply_books(NAME, books, urls or opensearch.url, index=index, spec=spec)

    def run(type, words, **changes):
        apply(**changes)
        resources.wait(NAME, type, "False", reason="EgressDenied", contains=[words])

    yield run
    apply()
    resources.wait(NAME)


def test_addresses_that_are_denied_are_not_connected_to(refused, kube):
    api = kube.url.split("://")[1].rstrip("/")
    refused("SourceReachable", "169.254.169.254", **{"source.host": "169.254.169.254"})
    refused("SourceReachable", "may not connect", **{"source.host": "::ffff:169.254.169.254"})
    # The address that a name resolves to at that moment counts.
    refused("SourceReachable", "localhost", **{"source.host": "localhost", "source.port": int(api.rsplit(":", 1)[1])})
    refused("SourceReachable", "/tmp", **{"source.host": "/tmp"})
    refused("SinkReachable", "169.254.169.254", urls="http://169.254.169.254")
    refused("SinkReachable", "may not connect", urls="http://[::ffff:a9fe:a9fe]/latest")
    refused("SinkReachable", "localhost", urls="https://localhost:" + api.rsplit(":", 1)[1])


@pytest.mark.parametrize("redis", [{"url": "redis://169.254.169.254:6379"},
                                   {"url": "redis://mymaster", "sentinels": ["[::ffff:169.254.169.254]:26379"]}])
def test_redis_at_a_denied_address_is_not_connected_to(operator, resources, books, opensearch, index, redis):
    resources.apply_books(NAME, books, opensearch.url, index=index, spec={"checkpoint": {"store": "Redis", "redis": redis}})
    resources.wait(NAME, "Ready", "False", reason="EgressDenied", contains=["169.254.169.254"])


class _Secret(BaseHTTPRequestHandler):
    def do_GET(self):
        body = b'{"role": "node", "token": "a-token-of-the-machine"}'
        self.send_response(404)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


def test_an_answer_of_another_service_is_not_in_the_status(worker, manifest):
    with ThreadingHTTPServer(("127.0.0.1", 0), _Secret) as other:
        Thread(target=other.serve_forever, daemon=True).start()
        manifest[1]["spec"]["sink"]["urls"] = [f"http://127.0.0.1:{other.server_port}"]
        run = worker(manifest).start()
        eventually(lambda: run.condition("SinkReachable").get("status") == "False", 20, lambda: f"the condition ({run.status()})")
        other.shutdown()
    assert "HTTP status 404" in run.condition("SinkReachable")["message"]
    assert "a-token-of-the-machine" not in str(run.status())
    assert "a-token-of-the-machine" not in run.process.log.read_text()
