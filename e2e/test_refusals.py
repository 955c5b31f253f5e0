"""Operator and CRD of different releases, and an API server or other clients that interfere with its writes."""

import copy
import json
import time

import pytest
import requests
from parts.search import eventually
from pgsync import condition

NAME = "books"
CRD = "pgsyncs.pgsync.io"


@pytest.fixture
def crd(kube):
    """change(f): replaces the CRD by f(its OpenAPI schema); restores it at the end."""
    whole = kube.kubectl.json("get", "crd", CRD)
    before = whole["spec"]["versions"][0]["schema"]["openAPIV3Schema"]

    def replace(schema):
        kube.kubectl("patch", "crd", CRD, "--type", "json", "--patch", json.dumps(
            [{"op": "replace", "path": "/spec/versions/0/schema/openAPIV3Schema", "value": schema}]))

    def change(function):
        schema = copy.deepcopy(before)
        function(schema)
        replace(schema)

    yield change
    replace(before)


def events(resources, reason):
    return [note for found, note in resources.events(NAME) if found == reason]


def test_a_newer_crd_does_not_stop_streams_nor_deletions(crd, kube, make_operator, resources, books, opensearch, index):
    def add_fields(schema):
        spec = schema["properties"]["spec"]["properties"]
        spec["paused"] = {"type": "boolean", "default": False}
        policies = spec["source"]["properties"]["replication"]["properties"]["slotLostPolicy"]
        policies["enum"] = [*policies["enum"], "Ask"]

    crd(add_fields)
    with make_operator("older"):
        resources.apply_books(NAME, books, opensearch.url, index=index)
        eventually(lambda: "paused" in resources.get(NAME)["spec"], 10, "the field's default")
        resources.wait(NAME)
        resources.patch(NAME, {"source": {"replication": {"slotLostPolicy": "Ask"}}})
        resources.wait(NAME, generation=True)
        eventually(lambda: any("spec.paused: unknown field" in note for note in events(resources, "UnknownField")), 15, "the event")
        resources.delete(NAME)


def test_an_older_crd_loses_only_the_fields_that_it_does_not_have(crd, kube, make_operator, resources, books, opensearch, index):
    def remove_field(schema):
        del schema["properties"]["status"]["properties"]["stream"]["properties"]["lag"]

    crd(remove_field)
    time.sleep(2)  # the API server takes a moment
    with make_operator("newer"):
        resources.apply_books(NAME, books, opensearch.url, index=index)
        resources.wait(NAME, timeout=60)
        status = resources.get(NAME)["status"]
        assert "lag" not in status["stream"] and status["stream"]["slotName"]
        eventually(lambda: any("status.stream.lag;" in note for note in events(resources, "CRDOutdated")), 15, "the event")
        resources.delete(NAME)


def test_a_refused_write_is_told(kube, make_operator, resources, books, opensearch, index, namespace):
    kube.kubectl.apply({
        "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingAdmissionPolicy", "metadata": {"name": namespace},
        "spec": {"matchConstraints": {
            "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace}},
            "resourceRules": [{"apiGroups": ["pgsync.io"], "apiVersions": ["*"], "operations": ["UPDATE"], "resources": ["pgsyncs"]}]},
            "validations": [{"expression": "!has(object.metadata.finalizers)", "message": "no finalizers in this namespace"}]}})
    kube.kubectl.apply({
        "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingAdmissionPolicyBinding", "metadata": {"name": namespace},
        "spec": {"policyName": namespace, "validationActions": ["Deny"]}})
    try:
        time.sleep(5)  # policies take effect within a few seconds
        with make_operator("refused") as operator:
            resources.apply_books(NAME, books, opensearch.url, index=index)
            resources.wait(NAME, "Ready", "False", reason="WriteRefused", contains=["no finalizers in this namespace"])
            assert operator.metric("pgsync_writes_refused") == 1
            assert "what belongs to 1 PgSync cannot be written;" in requests.get(operator.url + "/readyz", timeout=5).text
            eventually(lambda: events(resources, "WriteRefused"), 15, "the event")
            kube.kubectl("delete", "validatingadmissionpolicybinding", namespace)
            resources.wait(NAME, timeout=90)
            assert operator.metric("pgsync_writes_refused") == 0
            assert requests.get(operator.url + "/readyz", timeout=5).text == "ok\n"
            resources.delete(NAME)
    finally:
        kube.kubectl("delete", "validatingadmissionpolicybinding", namespace, "--ignore-not-found")
        kube.kubectl("delete", "validatingadmissionpolicy", namespace, "--ignore-not-found")


def test_a_status_that_another_client_changes_is_put_right(kube, make_operator, resources, books, opensearch, index, namespace):
    def patch(value):
        kube.kubectl("patch", "pgsync", NAME, "--namespace", namespace, "--subresource", "status", "--type", "json",
                     "--patch", json.dumps([value]))

    with make_operator("one"):
        resources.apply_books(NAME, books, opensearch.url, index=index)
        resources.wait(NAME)
        patch({"op": "remove", "path": "/status"})
        eventually(lambda: condition(resources.get(NAME), "Ready").get("status") == "True", 30, "the status again")
        patch({"op": "replace", "path": "/status/phase", "value": "Failed"})
        eventually(lambda: resources.get(NAME)["status"]["phase"] == "Streaming", 30, "the phase again")
        version = resources.get(NAME)["metadata"]["resourceVersion"]
        time.sleep(12)
        assert resources.get(NAME)["metadata"]["resourceVersion"] == version, "it is written again and again"
        resources.delete(NAME)
