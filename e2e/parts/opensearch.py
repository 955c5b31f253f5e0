"""One node of OpenSearch 2, OpenSearch 3 or Elasticsearch 7, from their published libraries."""

import signal
from pathlib import Path

from . import cache, java, maven, ports
from .process import Process
from .search import SearchEngine

OPENSEARCH_VERSION = "2.19.1"
OPENSEARCH3_VERSION = "3.3.0"
ELASTICSEARCH_VERSION = "7.17.28"


class Node(SearchEngine):
    """A node on 127.0.0.1 with no security; its data live in the state directory."""

    flavour = version = tool = None
    java_program, java_options = staticmethod(lambda: "java"), ["-Djava.security.manager=allow"]
    compile = staticmethod(maven.compile_main)

    def __init__(self, state: Path, *, heap="512m", port=None, attached=True, optimized=False):
        """`optimized`: compiled as well as in production. It costs a third of all CPU time of nodes that live for minutes."""
        self.state, self.heap, self.attached, self.optimized = Path(state), heap, attached, optimized
        self.port = port or ports.free_port()
        self.process, self.warm = None, False
        super().__init__(f"http://127.0.0.1:{self.port}")

    @classmethod
    def fetch(cls) -> Path:
        """The directory with the jars and the class that starts a node."""

        def build(directory):
            maven.copy_dependencies(cls.tool, directory)
            cls.compile(cls.tool, directory)

        return cache.cached(cls.tool, cls.version, build, sources=maven.TOOLS / cls.tool)

    def spawn(self):
        self.state.mkdir(parents=True, exist_ok=True)
        jars = self.fetch()
        self.process = Process(f"{self.tool} {self.version}", [
            # The collector and its settings as in the distributions' jvm.options: with another one, garbage that is not
            # collected yet makes the memory circuit breaker refuse requests.
            self.java_program(), f"-Xms{self.heap}", f"-Xmx{self.heap}", "-XX:+UseG1GC", "-XX:G1ReservePercent=25",
            "-XX:InitiatingHeapOccupancyPercent=30", *([] if self.optimized else ["-XX:TieredStopAtLevel=1"]),
            *self.java_options, "-Dfile.encoding=UTF-8", "-cp", f"{jars}/classes:{jars}/*", "SingleNode",
            self.state / "node", self.port, ports.free_port(),
        ], self.state / f"{self.tool}.log", cwd=self.state, attached=self.attached)
        return self

    def wait(self, timeout=120):
        """Waits until it answers and has done once what every test asks of it, which takes a cold JVM seconds the first time."""
        self.process.wait_until(self.answers, timeout)
        if not self.warm:
            self.warm = True
            self.request("PUT", "warm-up/_doc/1?refresh=true", {"title": "warm up"})
            self.document("warm-up", "1")
            self.request("DELETE", "warm-up")
        return self

    def start(self):
        return self.spawn().wait()

    def stop(self, timeout=10):
        if self.process:
            self.process.stop(signal.SIGTERM, timeout)

    def __enter__(self):
        return self.start()

    def __exit__(self, *exc):
        self.process.kill9()


class OpenSearch(Node):
    flavour, version, tool = "OpenSearch", OPENSEARCH_VERSION, "opensearch"


class OpenSearch3(Node):
    flavour, version, tool = "OpenSearch", OPENSEARCH3_VERSION, "opensearch3"
    java_program, java_options = staticmethod(java.java21), []
    compile = staticmethod(java.compile_main)


class Elasticsearch7(Node):
    flavour, version, tool = "Elasticsearch", ELASTICSEARCH_VERSION, "elasticsearch"


ENGINES = {node.tool: node for node in (OpenSearch, OpenSearch3, Elasticsearch7)}
