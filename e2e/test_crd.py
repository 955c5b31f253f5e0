"""The CRD at a real API server: what each rule refuses and accepts, the defaults, and the output of `kubectl explain`."""

import json

import bookstore
import pytest
import yaml
from parts.operator import TREE, render_chart

PASSWORD = "source.passwordSecretRef"
FOREIGN_KEY = "schema.0.nodes.children.0.relationship.foreign_key"

ACCEPTED = {
    "a pod with everything": {"worker": {"placement": "Pod", "resources": {"limits": {"memory": "64Mi", "cpu": 1}}, "podTemplate": {
        "nodeSelector": {"disk": "ssd"}, "priorityClassName": "high", "imagePullSecrets": [{"name": "pull"}],
        "tolerations": [{"operator": "Exists"}, {"key": "a", "value": "b", "effect": "NoExecute", "tolerationSeconds": 3}],
        "topologySpreadConstraints": [{"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "ScheduleAnyway"}]}}},
    "the sample": {},
    "a connection Secret instead of host": {"source": {"connectionSecretRef": {"name": "app"}}},
    "a ConfigMap instead of schema": {"schema": None, "schemaConfigMapRef": {"name": "schema", "key": "schema.json"}},
    "VerifyFull with its authority": {"source.tls": {"mode": "VerifyFull", "caSecretRef": {"name": "ca", "key": "ca.crt"}}},
    "a password that a pod reads again": {PASSWORD: None, "source.passwordFrom": {"secretRef": {"name": "token", "key": "now"}},
                                          "worker": {"placement": "Pod"}},
    "a login with its Secret": {"sink.authentication": {"type": "Basic", "secretRef": {"name": "login"}}},
    "Redis with its address": {"checkpoint": {"store": "Redis", "redis": {"url": "redis://redis:6379/0"}}},
    "Redis with all that it may need": {"checkpoint": {"store": "Redis", "redis": {
        "url": "rediss://mymaster", "sentinels": ["sentinel-0:26379", "sentinel-1"], "username": "pgsync",
        "passwordSecretRef": {"name": "redis"}, "tls": {"caSecretRef": {"name": "ca"}}}}},
    "limits of what the source may be used for": {"source.limits": {"connections": 5, "statementTimeoutSeconds": 1, "snapshotAgeSeconds": 86400}},
    "a path behind the search engine's address": {"sink.urls": ["https://search.example/es"]},
    "columns of a foreign key": {FOREIGN_KEY: {"child": ["a", "b"], "parent": ["c", "d"]}},
    "a single name as column of a foreign key": {FOREIGN_KEY: {"child": "a", "parent": "c"}},
    "settings and a mapping of the index": {"schema.0.setting": {"number_of_shards": 3},
                                            "schema.0.mapping": {"title": {"type": "text"}}},
}

REFUSED = {
    "neither schema nor ConfigMap": ({"schema": None}, "schema"),
    "schema and ConfigMap": ({"schemaConfigMapRef": {"name": "schema", "key": "schema.json"}}, "schemaConfigMapRef"),
    "neither host nor connection Secret": ({"source.host": None}, "connectionSecretRef"),
    "host and connection Secret": ({"source.connectionSecretRef": {"name": "app"}}, "connectionSecretRef"),
    "no user": ({"source.user": None}, "user"),
    "port 0": ({"source.port": 0}, "spec.source.port"),
    "port 65536": ({"source.port": 65536}, "spec.source.port"),
    "no connection for a bootstrap": ({"source.limits": {"connections": 4}}, "spec.source.limits.connections"),
    "65 connections": ({"source.limits": {"connections": 65}}, "spec.source.limits.connections"),
    "no time for a statement": ({"source.limits": {"statementTimeoutSeconds": 0}}, "spec.source.limits.statementTimeoutSeconds"),
    "a snapshot of more than a day": ({"source.limits": {"snapshotAgeSeconds": 86401}}, "spec.source.limits.snapshotAgeSeconds"),
    "a limit that does not exist": ({"source.limits": {"cpu": 1}}, "cpu"),
    "an unknown TLS mode": ({"source.tls": {"mode": "Maybe"}}, "spec.source.tls.mode"),
    "VerifyFull without an authority": ({"source.tls": {"mode": "VerifyFull"}}, "caSecretRef"),
    "no address of a search engine": ({"sink.urls": []}, "spec.sink.urls"),
    "an address without a scheme": ({"sink.urls": ["search:9200"]}, "spec.sink.urls"),
    "a password in the address": ({"sink.urls": ["http://user:secret@search:9200"]}, "spec.sink.urls"),
    "a login without a Secret": ({"sink.authentication": {"type": "Basic"}}, "secretRef"),
    "a Secret without a login": ({"sink.authentication": {"type": "None", "secretRef": {"name": "login"}}}, "secretRef"),
    "an index name with capitals": ({"schema.0.index": "Books"}, "spec.schema[0].index"),
    "an index name that begins with _": ({"schema.0.index": "_books"}, "spec.schema[0].index"),
    "an index name with a comma": ({"schema.0.index": "a,b"}, "spec.schema[0].index"),
    "a slot name with capitals": ({"source.replication": {"slotName": "Books"}}, "slotName"),
    "a slot name of 64 characters": ({"source.replication": {"slotName": "s" * 64}}, "slotName"),
    "a Secret name with capitals": ({"source.passwordSecretRef": {"name": "Secret", "key": "password"}},
                                    "passwordSecretRef.name"),
    "a Secret key that is a path": ({"source.passwordSecretRef": {"name": "secret", "key": "../x"}}, "passwordSecretRef.key"),
    "Redis without an address": ({"checkpoint": {"store": "Redis"}}, "redis"),
    "a password in Redis' address": ({"checkpoint": {"store": "Redis", "redis": {"url": "redis://:secret@redis"}}}, "redis.url"),
    "a user of Redis without a password": (
        {"checkpoint": {"store": "Redis", "redis": {"url": "redis://redis", "username": "u"}}}, "passwordSecretRef"),
    "an authority for Redis without TLS": (
        {"checkpoint": {"store": "Redis", "redis": {"url": "redis://redis", "tls": {"caSecretRef": {"name": "ca"}}}}}, "rediss://"),
    "an unknown policy": ({"onError": {"policy": "Ignore"}}, "spec.onError.policy"),
    "a bulk size of nothing": ({"sink.bulk": {"maxBytes": 0}}, "spec.sink.bulk.maxBytes"),
    "negative parallelism": ({"bootstrap": {"parallelism": -1}}, "spec.bootstrap.parallelism"),
    "documents of two databases": ({"schema.0.database": "elsewhere"}, "database"),
    "a password from a file, in the cluster": ({PASSWORD: None, "source.passwordFrom": {"file": "/run/token"}}, "pgsync run"),
    "a password from a program, in the cluster": (
        {PASSWORD: None, "source.passwordFrom": {"exec": {"command": ["/bin/true"]}}}, "pgsync run"),
    "a password from a Secret and a file": (
        {PASSWORD: None, "source.passwordFrom": {"secretRef": {"name": "s", "key": "k"}, "file": "/run/token"}}, "exactly one"),
    "a password from a Secret's key that is a path": (
        {PASSWORD: None, "source.passwordFrom": {"secretRef": {"name": "s", "key": "../x"}}}, "secretRef.key"),
    "a password from nowhere": ({PASSWORD: None, "source.passwordFrom": {}}, "exactly one"),
    "a password from a relative path": ({PASSWORD: None, "source.passwordFrom": {"file": "token"}}, "absolute path"),
    "a password from a path that goes back": ({PASSWORD: None, "source.passwordFrom": {"file": "/run/../etc/passwd"}}, "absolute path"),
    "two passwords": ({"source.passwordFrom": {"file": "/run/token"}}, "must not both be set"),
    "a number as column of a foreign key": ({FOREIGN_KEY: {"child": [1], "parent": ["c"]}}, "foreign_key.child[0]"),
    "a foreign key of 33 columns": ({FOREIGN_KEY: {"child": ["a"] * 33, "parent": ["c"]}}, "foreign_key.child"),
    "a column name of 64 characters": ({FOREIGN_KEY: {"child": "a" * 64, "parent": "c"}}, "foreign_key.child"),
    "a nonce that JSON tools would round": ({"resyncNonce": 2**53}, "spec.resyncNonce"),
    "a toleration of nothing": ({"worker.podTemplate": {"tolerations": [{"operator": "Equal"}]}}, "key"),
    "a toleration of any value with a value": (
        {"worker.podTemplate": {"tolerations": [{"key": "a", "operator": "Exists", "value": "b"}]}}, "value"),
    "a toleration that ends, of an effect that does not": (
        {"worker.podTemplate": {"tolerations": [{"key": "a", "effect": "NoSchedule", "tolerationSeconds": 3}]}}, "NoExecute"),
    "a spread without a topology": (
        {"worker.podTemplate": {"topologySpreadConstraints": [{"maxSkew": 1, "whenUnsatisfiable": "DoNotSchedule"}]}}, "topologyKey"),
    "a pull secret without a name": ({"worker.podTemplate": {"imagePullSecrets": [{}]}}, "name"),
    "a container in the template of a pod": ({"worker.podTemplate": {"containers": []}}, "containers"),
    "an unknown mode": ({"mode": "Dry"}, "spec.mode"),
    "a suspended plan": ({"mode": "Plan", "suspend": True}, "suspend may not be true in Plan mode"),
    "an unknown field of the spec": ({"sauce": {}}, "sauce"),
}


class Plain:
    """What bookstore.resource() needs to know about a database."""

    name, role = "bookstore", "pgsync"

    class server:
        port = 5432


def made(changes, name="books"):
    resource = bookstore.resource(name, Plain, "http://opensearch:9200", spec={k: v for k, v in changes.items() if k != "source"})
    if "source" in changes:
        resource["spec"]["source"] = changes["source"]
    return resource


def try_apply(kube, namespace, resource):
    return kube.kubectl("create", "--dry-run=server", "--validate=strict", "--namespace", namespace, "-f", "-",
                        input=json.dumps(resource), check=False)


@pytest.mark.parametrize("what", list(ACCEPTED))
def test_accepts(kube, what):
    code, _, err = try_apply(kube, "default", made(ACCEPTED[what]))
    assert code == 0, err


@pytest.mark.parametrize("what", list(REFUSED))
def test_refuses(kube, what):
    changes, word = REFUSED[what]
    code, _, err = try_apply(kube, "default", made(changes))
    assert code != 0, f"{what} was accepted"
    assert word in err


def test_refuses_a_name_of_53_characters(kube):
    assert try_apply(kube, "default", made({}, name="n" * 52))[0] == 0
    code, _, err = try_apply(kube, "default", made({}, name="n" * 53))
    assert code != 0
    assert "52" in err


IMMUTABLE = {
    "database": ("source", {"database": "another"}),
    "slotName": ("source", {"replication": {"slotName": "another"}}),
    "publicationName": ("source", {"replication": {"publicationName": "another"}}),
    "resyncNonce": ("resyncNonce", 6),
}


@pytest.mark.parametrize("field", list(IMMUTABLE))
def test_refuses_a_change_of(kube, resources, field):
    given = {"source.replication": {"slotName": "given", "publicationName": "given"}, "resyncNonce": 7}
    resources.apply(made(given))
    key, value = IMMUTABLE[field]
    with pytest.raises(RuntimeError, match=field):
        resources.patch("books", {key: value})
    resources.patch("books", {"resyncNonce": 8})


def test_defaults_are_filled_in_by_the_server(resources):
    resources.apply(made({}))
    spec = resources.get("books")["spec"]
    assert spec["suspend"] is False
    assert spec["lagTargetSeconds"] == 60
    assert spec["onError"] == {"policy": "DeadLetter"}
    assert spec["deletionPolicy"] == {"replicationSlot": "Delete", "publication": "Delete", "index": "Retain",
                                      "checkpoint": "Delete"}
    assert spec["worker"]["placement"] == "Process"
    assert spec["source"]["replication"] == {"replicaIdentity": "Manage", "slotLostPolicy": "Resync", "failover": False}


def test_before_the_first_status_no_generation_is_observed(resources):
    resources.apply(made({}))
    found = resources.get("books")
    # kstatus, and tools built on it, consider a resource without observedGeneration up to date.
    assert found["status"] == {"observedGeneration": -1}
    assert found["metadata"]["generation"] == 1


def test_applying_twice_changes_nothing(resources):
    resources.apply(made({}))
    # The server stores a default of the status with the first update, since a new object has no status.
    resources.apply(made({}))
    before = resources.get("books")["metadata"]["resourceVersion"]
    resources.apply(made({}))
    assert resources.get("books")["metadata"]["resourceVersion"] == before


def test_spec_is_stored_verbatim_with_unknown_fields_inside_schema(resources):
    resource = made({"schema.0.nodes.children.0.transform": {"rename": {"bio": "about"}}})
    resources.apply(resource)
    assert resources.get("books")["spec"]["schema"] == resource["spec"]["schema"]


@pytest.mark.parametrize("path", ["spec", "spec.source", "spec.source.tls", "spec.source.replication", "spec.sink",
                                  "spec.sink.bulk", "spec.schema", "spec.schema.nodes", "spec.schema.nodes.children.children.children",
                                  "spec.deletionPolicy", "status", "status.stream", "status.bootstrap", "status.indices"])
def test_explain_describes_every_field_of(kube, path):
    text = kube.kubectl("explain", f"pgsync.{path}")
    assert "<no description>" not in text
    assert "DESCRIPTION:\n    <empty>" not in text
    fields = text.split("FIELDS:")[1].strip("\n").split("\n\n")
    for field in fields:
        if field.strip():
            assert len(field.strip().splitlines()) > 1, f"no description: {field}"


def test_chart_templates_the_same_crd_as_the_tree(kube):
    (crd,) = [o for o in render_chart() if o["kind"] == "CustomResourceDefinition"]
    of_tree = yaml.safe_load((TREE / "deploy/crds/pgsyncs.pgsync.io.yaml").read_text())
    assert crd["spec"] == of_tree["spec"]
    assert crd["metadata"]["annotations"]["helm.sh/resource-policy"] == "keep"


def test_crd_is_small_enough_for_client_side_apply(kube):
    crd = kube.kubectl.json("get", "crd", "pgsyncs.pgsync.io")
    assert len(json.dumps(crd["spec"])) < 200_000
