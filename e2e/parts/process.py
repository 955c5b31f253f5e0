"""Child processes that never outlive this one, whatever ends it."""

import atexit
import os
import pwd
import queue
import signal
import subprocess
import threading
import time
from pathlib import Path

_live = []
_requests = queue.Queue()


def _spawn_forever():
    while True:
        command, options, answer = _requests.get()
        try:
            answer.put(subprocess.Popen(command, **options))
        except OSError as error:
            answer.put(error)


def _spawn(command, **options):
    """Popen from a thread that lives as long as the process: the parent-death signal follows the thread that forked."""
    answer = queue.Queue()
    _requests.put((command, options, answer))
    result = answer.get()
    if isinstance(result, OSError):
        raise result
    return result


threading.Thread(target=_spawn_forever, name="spawner", daemon=True).start()


class ProcessDied(RuntimeError):
    """A process ended before it was ready; the message ends with the last lines of its log."""


def unprivileged_user():
    """The user for programs that refuse to run as root; None if this process is not root."""
    return "nobody" if os.geteuid() == 0 else None


class Process:
    """A running program: its pid, its log, and how to end it."""

    def __init__(self, name, argv, log, *, env=None, cwd=None, user=None, death_signal="KILL", attached=True):
        """Starts argv with its output in the file `log`. `attached`: it dies, by `death_signal`, when this process does."""
        self.name, self.argv, self.log = name, [str(a) for a in argv], Path(log)
        prefix = []
        if attached:
            prefix += [f"--pdeathsig={death_signal}"]
        if user:
            prefix += [f"--reuid={user}", f"--regid={_group_of(user)}", "--clear-groups"]
        command = (["setpriv", *prefix, "--"] if prefix else []) + self.argv
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with open(self.log, "ab") as out:
            # Its own session: a Ctrl-C at the terminal is for this process, which then ends the parts in order.
            self.popen = _spawn(
                command, stdin=subprocess.DEVNULL, stdout=out, stderr=out, env=env, cwd=cwd, start_new_session=True
            )
        if attached:
            _live.append(self)

    @property
    def pid(self):
        return self.popen.pid

    @property
    def alive(self):
        return self.popen.poll() is None

    def tail(self, lines=15):
        text = self.log.read_text(errors="replace") if self.log.exists() else ""
        return "\n".join(text.splitlines()[-lines:])

    def check(self):
        """Raises if the process has ended."""
        if not self.alive:
            raise ProcessDied(f"{self.name} ended with code {self.popen.returncode}; its log {self.log} ends:\n{self.tail()}")

    def wait_until(self, ready, timeout, what="ready"):
        """Polls ready() until it is true. Exceptions of connections count as not ready."""
        deadline = time.monotonic() + timeout
        while True:
            self.check()
            try:
                if ready():
                    return
            except (OSError, ConnectionError):
                pass
            if time.monotonic() > deadline:
                raise TimeoutError(f"{self.name} was not {what} after {timeout} s; its log {self.log} ends:\n{self.tail()}")
            time.sleep(0.05)

    def send(self, number):
        if self.alive:
            os.kill(self.pid, number)

    def pause(self):
        self.send(signal.SIGSTOP)

    def resume(self):
        self.send(signal.SIGCONT)

    def kill9(self):
        """Ends it as a power cut would, and reaps it."""
        self.send(signal.SIGKILL)
        self.popen.wait()
        self._forget()

    def stop(self, number=signal.SIGTERM, timeout=20):
        """Asks it to end, insists after `timeout`, and returns its exit code."""
        self.send(number)
        self.send(signal.SIGCONT)
        try:
            self.popen.wait(timeout)
        except subprocess.TimeoutExpired:
            self.send(signal.SIGKILL)
            self.popen.wait()
        self._forget()
        return self.popen.returncode

    def _forget(self):
        if self in _live:
            _live.remove(self)


def _group_of(user):
    return pwd.getpwnam(user).pw_gid


@atexit.register
def stop_all():
    """Ends what is still running, the youngest first."""
    while _live:
        process = _live[-1]
        try:
            process.stop(timeout=5)
        except OSError:
            process._forget()


def interrupt_on_term():
    """SIGTERM ends this process the way Ctrl-C does: finalizers run."""

    def interrupt(number, frame):
        raise KeyboardInterrupt(f"signal {number}")

    signal.signal(signal.SIGTERM, interrupt)
    signal.signal(signal.SIGHUP, interrupt)


def started_at(pid):
    """When a process started, in the kernel's ticks: with the pid it identifies a process forever. None: there is none."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    fields = stat.rpartition(")")[2].split()
    return None if fields[0] in "ZX" else int(fields[19])


def end(pid, started, number=signal.SIGTERM, timeout=15):
    """Ends a process of an earlier run, if it is still that one."""
    for step, patience in ((number, timeout), (signal.SIGKILL, 5)):
        deadline = time.monotonic() + patience
        while started_at(pid) == started and time.monotonic() < deadline:
            if step:
                os.kill(pid, step)
                step = None
            time.sleep(0.05)


def memory_peak_kib(pid):
    """The largest resident set that a process has had (VmHWM)."""
    return _status_kib(pid, "VmHWM")


def memory_kib(pid):
    return _status_kib(pid, "VmRSS")


def _status_kib(pid, key):
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(key + ":"):
            return int(line.split()[1])
    raise LookupError(f"/proc/{pid}/status has no {key}")


def cpu_seconds(pid):
    """Processor time of a process, its living children, and those that it has reaped."""
    total = 0
    for each in [pid, *children(pid)]:
        try:
            fields = Path(f"/proc/{each}/stat").read_text().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            continue
        total += sum(map(int, fields[11:15] if each == pid else fields[11:13]))
    return total / os.sysconf("SC_CLK_TCK")


def children(pid):
    """Pids of the direct children of a process."""
    found = []
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        found += [int(p) for p in task.read_text().split()]
    return found
