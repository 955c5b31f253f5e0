"""PgSync resources as the tests handle them: apply, wait for a condition, read, delete."""

import json
import time

import bookstore
from parts.search import eventually


def condition(resource, type):
    """A condition of a resource or of a status; {} while it is not there."""
    status = resource.get("status", resource)
    return next((c for c in status.get("conditions", []) if c["type"] == type), {})


def describe(resource):
    """Phase and conditions in one line each, for the message of a failed wait."""
    status = resource.get("status", {})
    lines = [f"phase {status.get('phase')}"]
    lines += [f"  {c['type']}={c['status']} {c['reason']}: {c['message']}" for c in status.get("conditions", [])]
    return "\n".join(lines)


class Resources:
    """The PgSyncs and Secrets of one namespace."""

    def __init__(self, kubectl, namespace):
        self.kubectl, self.namespace = kubectl, namespace

    def apply(self, *objects):
        return self.kubectl.apply(*objects, namespace=self.namespace)

    def apply_books(self, name, database, urls, *, password=None, **options):
        """The sample's PgSync for a test's database, with the Secret that it needs."""
        secret = f"{name}-postgres"
        self.apply(bookstore.secret(secret, password=password or database.role_password))
        made = bookstore.resource(name, database, urls, secret=secret, **options)
        self.apply(made)
        return made

    def _read(self, name=""):
        return self.kubectl.read(f"apis/pgsync.io/v1alpha1/namespaces/{self.namespace}/pgsyncs/{name}")

    def get(self, name):
        found = self._read(name)
        if found is None:
            raise RuntimeError(f"there is no PgSync {self.namespace}/{name}")
        return found

    def patch(self, name, spec):
        self.kubectl("patch", "pgsync", name, "--namespace", self.namespace, "--type", "merge", "--patch",
                     json.dumps({"spec": spec}))

    def events(self, name):
        """(reason, note) of the events about a PgSync."""
        found = self.kubectl.read(f"apis/events.k8s.io/v1/namespaces/{self.namespace}/events")
        return [(e["reason"], e.get("note", "")) for e in found["items"] if e["regarding"]["name"] == name]

    def wait(self, name, type="Ready", status="True", *, reason=None, contains=(), timeout=30, generation=False):
        """Waits until a condition has this status, reason (one, or several to choose from) and words in its message;
        returns the condition. `generation`: only counts when the status is about the spec as it stands."""
        reasons = {reason} if isinstance(reason, str) else set(reason or ())
        last = {}

        def holds():
            last.update(self.get(name))
            found = condition(last, type)
            current = last["metadata"]["generation"]
            return (found.get("status") == status and (not reasons or found["reason"] in reasons)
                    and all(word in found["message"] for word in contains)
                    and (not generation or found.get("observedGeneration") == current) and found)

        wanted = f"{type}={status}" + (f" {sorted(reasons)}" if reasons else "") + (f" saying {contains}" if contains else "")
        return eventually(holds, timeout, lambda: f"{wanted} of {name}; it is:\n{describe(last)}\nand that", interval=0.1)

    def never(self, check, seconds, what):
        """Fails if check() becomes true within `seconds`."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            assert not check(), what
            time.sleep(0.1)

    def delete(self, name, timeout=30):
        """Deletes a PgSync and waits until its finalizer has gone."""
        self.kubectl("delete", "pgsync", name, "--namespace", self.namespace, "--ignore-not-found", "--wait=false")
        eventually(lambda: not self.exists(name), timeout, f"the deletion of {name}", interval=0.1)

    def exists(self, name):
        return self._read(name) is not None

    def delete_all(self):
        """Cleans up after a test. What is not deleted in time loses its finalizer, for the next test's sake, and the test fails."""
        stuck = {}
        for item in self._read()["items"]:
            name = item["metadata"]["name"]
            try:
                self.delete(name, timeout=20)
            except AssertionError:
                stuck[name] = describe(self.get(name))
                self.kubectl("patch", "pgsync", name, "--namespace", self.namespace, "--type", "merge", "--patch",
                             '{"metadata":{"finalizers":null}}', check=False)
        assert not stuck, f"the operator did not finish the deletion of {stuck}"
