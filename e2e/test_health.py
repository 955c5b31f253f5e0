"""Whatever clients do to the operator's ports, /livez answers at once. No API server is needed for that."""

import contextlib
import multiprocessing
import os
import random
import socket
import time

import pytest
import requests
from parts.operator import Operator
from parts.ports import free_port

NOBODY = """
apiVersion: v1
kind: Config
current-context: nobody
contexts: [{name: nobody, context: {cluster: nobody, user: nobody}}]
clusters: [{name: nobody, cluster: {server: "http://127.0.0.1:9"}}]
users: [{name: nobody, user: {}}]
"""
SPAWN = multiprocessing.get_context("spawn")
PROMPT, LATE = 0.1, 3  # seconds; the second because other programs keep the machine busy, too
PROBE_FROM = "127.0.0.9"  # as a kubelet, not one of the attackers


class Probe:
    """Requests /livez continuously, in a separate process, each time on a new connection."""

    def __init__(self, *ports):
        self.ports, self.times, self.failures = ports, [], []
        self.over, self.results = SPAWN.Event(), SPAWN.Queue()
        self.process = SPAWN.Process(target=probe, args=(ports, self.over, self.results), daemon=True)

    def __enter__(self):
        self.process.start()
        assert self.results.get(timeout=30) == "started"
        return self

    def __exit__(self, *exc):
        self.over.set()
        self.times, self.failures = self.results.get(timeout=30)
        self.process.join()


def go_first(pid):
    """Gives a process and its threads priority where that is allowed: the load of other programs is not what is tested."""
    with contextlib.suppress(PermissionError):
        for thread in os.listdir(f"/proc/{pid}/task"):
            os.setpriority(os.PRIO_PROCESS, int(thread), -10)


def ask(port):
    """How long an answer took, and its beginning."""
    began = time.monotonic()
    with socket.create_connection(("127.0.0.1", port), timeout=3, source_address=(PROBE_FROM, 0)) as client:
        client.sendall(b"GET /livez HTTP/1.1\r\nHost: probe\r\nConnection: close\r\n\r\n")
        answer = client.recv(1000)
    return time.monotonic() - began, answer


def probe(ports, over, results):
    times, failures = [], []
    go_first(os.getpid())
    results.put("started")
    while not over.wait(0.02):
        for port in ports:
            try:
                took, answer = ask(port)
            except OSError as error:
                failures.append((port, repr(error)))
                continue
            times.append(took)
            if not answer.startswith(b"HTTP/1.1 200") or took > LATE:
                failures.append((port, round(took, 3), answer[:20]))
    results.put((times, failures))


def connect(port, peer):
    client = socket.socket()
    client.bind((peer, 0))
    client.settimeout(0.5)
    client.connect(("127.0.0.1", port))
    return client


REQUESTS = [
    b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n",
    b"HEAD /readyz HTTP/1.0\r\n\r\n",
    b"POST /x HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\nz",
    b"PUT /metrics HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    b"GET /livez HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 10\r\n\r\n",
    b"GET /livez HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: eA==\r\n\r\n",
    b"OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n",
]


def mutated(dice):
    """One to four requests in a row, some bytes changed, removed or repeated."""
    data = bytearray(b"".join(dice.choices(REQUESTS, k=dice.randint(1, 4))))
    for _ in range(dice.choice([0, 1, 1, 2, 8])):
        at = dice.randrange(len(data))
        what = dice.randrange(4)
        if what == 0:
            data[at] = dice.randrange(256)
        elif what == 1:
            del data[at : at + dice.randint(1, 30)]
        elif what == 2:
            data[at:at] = data[at : at + dice.randint(1, 30)] * dice.choice([1, 2, 100])
        else:
            data = data[:at]
        data = data or bytearray(b"G")
    return bytes(data)


def send_and_close(port, peer, data, dice, read):
    try:
        with connect(port, peer) as client:
            cut = dice.randrange(len(data))
            client.sendall(data[:cut])
            client.sendall(data[cut:])
            if read:
                client.settimeout(0.05)
                client.recv(dice.choice([1, 100, 10000]))
            if dice.random() < 0.3:
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")  # ends with a reset
    except OSError:
        pass  # refused, evicted or reset: the server may do that


def fuzz(port, until, seed):
    dice = random.Random(seed)
    count = 0
    while time.monotonic() < until:
        send_and_close(port, f"127.0.{seed % 4}.{dice.randint(10, 250)}", mutated(dice), dice, dice.random() < 0.3)
        count += 1
    return count


def hold(port, number, seed):
    """Opens connections and leaves them: silent, in the middle of a request, or not reading their answers."""
    dice = random.Random(seed)
    held = []
    for i in range(number):
        try:
            client = connect(port, f"127.0.{seed % 4}.{dice.randint(10, 250)}" if i % 2 else "127.0.0.1")
            client.sendall(dice.choice([b"", b"G", b"GET /livez HTTP/1.1\r\nHost:", REQUESTS[1] * 50, REQUESTS[3] * 3, REQUESTS[0]]))
            held.append(client)
        except OSError:
            pass
        if len(held) > 150:
            held.pop(dice.randrange(len(held))).close()
    for client in held:
        client.close()


def gently(work, *arguments):
    os.nice(10)  # the attack is not on the machine
    work(*arguments)


def in_processes(work):
    """Processes, because threads would delay each other and the probe."""
    processes = [SPAWN.Process(target=gently, args=each, daemon=True) for each in work]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
        assert process.exitcode == 0


@pytest.fixture
def operator(state, unique):
    kubeconfig = state / f"{unique}.kubeconfig"
    kubeconfig.write_text(NOBODY)
    health = free_port()
    running = Operator(f"operator-{unique}", state, kubeconfig, "--leader-elect=false", "--health-listen", f"127.0.0.1:{health}")
    running.health = health
    with running:
        go_first(running.process.pid)
        yield running
        # Only a web server that still serves lets it end in time, and without being killed.
        began = time.monotonic()
        assert running.stop() == 0
        assert time.monotonic() - began < 10


def check(probe):
    assert not probe.failures, f"{len(probe.failures)} of {len(probe.times)} probes were late or failed: {probe.failures[:5]}"
    slow = [took for took in probe.times if took > PROMPT]
    print(f"{len(probe.times)} probes, the slowest {max(probe.times) * 1000:.0f} ms, {len(slow)} over {PROMPT * 1000:.0f} ms")
    assert len(slow) <= len(probe.times) / 20, f"{len(slow)} of {len(probe.times)} probes were slow"
    assert len(probe.times) >= 10


def test_requests_with_bodies_do_not_hang_the_server(operator):
    """This used to stop it permanently: two requests with bodies, half of a third, and the end of the connection."""
    with Probe(operator.port, operator.health) as probe:
        for port in (operator.port, operator.health):
            for i in range(200):
                with connect(port, "127.0.0.1") as client:
                    client.sendall(REQUESTS[3] * 2 + REQUESTS[3][: 5 + i % 50])
        time.sleep(1)
    check(probe)


def test_health_is_served_on_its_own_port_without_metrics(operator):
    url = f"http://127.0.0.1:{operator.health}"
    assert requests.get(f"{url}/livez", timeout=3).text == "ok\n"
    assert requests.get(f"{url}/readyz", timeout=3).status_code == 503
    assert requests.get(f"{url}/metrics", timeout=3).status_code == 404
    assert operator.get("/metrics") == 200 and operator.get("/livez") == 200


def test_idle_connections_of_one_client_do_not_keep_probes_waiting(operator):
    ports = (operator.port, operator.health)
    held = [connect(port, "127.0.0.1") for port in ports for _ in range(300)]
    with Probe(*ports) as probe:
        time.sleep(2)
    check(probe)
    for client in held:
        client.close()


def attack(operator, seconds, connections):
    ports = (operator.port, operator.health)
    until = time.monotonic() + seconds
    with Probe(*ports) as probe:
        in_processes([(fuzz, port, until, seed) for seed, port in enumerate(ports)]
                     + [(hold, port, connections // 4, seed) for seed, port in enumerate(ports * 2)])
    check(probe)


def test_livez_answers_during_thousands_of_slow_broken_and_pipelined_connections(operator):
    attack(operator, seconds=10, connections=10000)


@pytest.mark.long
def test_livez_answers_during_a_minute_of_mutated_requests(operator):
    attack(operator, seconds=60, connections=10000)
