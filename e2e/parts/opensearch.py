"""One node of OpenSearch 2 or 3, or of Elasticsearch 7, 8 or 9, from their published libraries."""

import os
import signal
from pathlib import Path

from . import cache, java, maven, ports
from .process import Process
from .search import SearchEngine

OPENSEARCH_VERSION = "2.19.1"
OPENSEARCH3_VERSION = "3.3.0"
ELASTICSEARCH_VERSION = "7.17.28"
ELASTICSEARCH8_VERSION = "8.19.3"
ELASTICSEARCH9_VERSION = "9.1.3"


class Node(SearchEngine):
    """A node on 127.0.0.1, and on other addresses, with no security; its data live in the state directory."""

    flavour = version = tool = None
    source = None  # the directory of `tools` that it is built from, if its name is not that of the tool
    nightly = False  # too much for the default run
    refuses_contradictions = False  # an index whose mapping contradicts its index template
    processors = False  # whether ingest pipelines have any: their module is not published for every engine
    java_program, java_options = staticmethod(lambda: "java"), ["-Djava.security.manager=allow"]
    compile = staticmethod(maven.compile_main)

    def __init__(self, state: Path, *, heap="512m", port=None, attached=True, optimized=False, addresses=(), snapshots=False):
        """`optimized`: compiled as well as in production. It costs a third of all CPU time of nodes that live for minutes.
        `addresses`: where it listens, too. `snapshots`: repositories may be in state/snapshots."""
        self.state, self.heap, self.attached, self.optimized = Path(state), heap, attached, optimized
        self.port = port or ports.free_port()
        self.addresses, self.snapshots, self.process, self.warm = addresses, snapshots, None, False
        super().__init__(f"http://127.0.0.1:{self.port}")

    @classmethod
    def fetch(cls) -> Path:
        """The directory with the jars and the class that starts a node."""

        return cache.cached(cls.tool, cls.version, cls.build, sources=maven.TOOLS / (cls.source or cls.tool))

    @classmethod
    def build(cls, directory):
        maven.copy_dependencies(cls.tool, directory)
        cls.compile(cls.tool, directory)

    def spawn(self):
        self.state.mkdir(parents=True, exist_ok=True)
        lines = [f"http.bind_host: [127.0.0.1, {', '.join(self.addresses)}]"] if self.addresses else []
        lines += [f"path.repo: {self.state / 'snapshots'}"] if self.snapshots else []
        if lines:
            config = self.state / f"node/config/{self.flavour.lower()}.yml"
            config.parent.mkdir(parents=True, exist_ok=True)
            config.write_text("\n".join(lines) + "\n")
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
    flavour, version, tool, processors = "OpenSearch", OPENSEARCH_VERSION, "opensearch", True


class OpenSearch3(Node):
    flavour, version, tool, processors = "OpenSearch", OPENSEARCH3_VERSION, "opensearch3", True
    java_program, java_options = staticmethod(java.java21), []
    compile = staticmethod(java.compile_main)


class Elasticsearch7(Node):
    flavour, version, tool = "Elasticsearch", ELASTICSEARCH_VERSION, "elasticsearch"


class Elasticsearch8(Node):
    """The server itself, with its own REST handlers. HTTP, and what the modules of a distribution add, come from tools/elasticsearch8."""

    refuses_contradictions = True
    flavour, version, tool, source, nightly = "Elasticsearch", ELASTICSEARCH8_VERSION, "elasticsearch8", "elasticsearch8", True
    java_program, java_options = staticmethod(java.java21), []

    @classmethod
    def build(cls, directory):
        maven.copy_dependencies(cls.source, directory, f"SHA256SUMS-{cls.version}", elasticsearch_version=cls.version)
        java.compile_main(cls.source, directory)
        java.pack_plugin(directory, "HttpPlugin", cls.version)


class Elasticsearch9(Elasticsearch8):
    version, tool = ELASTICSEARCH9_VERSION, "elasticsearch9"


ENGINES = {node.tool: node for node in (OpenSearch, OpenSearch3, Elasticsearch7, Elasticsearch8, Elasticsearch9)}


def chosen():
    """The class of the engine that most tests use."""
    return ENGINES[os.environ.get("E2E_ENGINE") or OpenSearch.tool]
