"""What the chart renders, and what `kubectl apply -k config/default` applies instead. Only the last part needs an API server."""

import json
import os
import re
import subprocess

import pytest
import yaml
from parts import kubernetes, prometheus
from parts.operator import TREE, render_chart

DATA = TREE / "e2e/testdata"
CHART = TREE / "deploy/helm/pgsync-operator"
MONITORING = {f"metrics.{part}.enabled": "true" for part in ("serviceMonitor", "prometheusRule", "grafanaDashboard")}


def of_kind(kind, **values):
    return [o for o in render_chart(**values) if o["kind"] == kind]


def identity(obj):
    return obj["kind"], obj["metadata"].get("namespace"), obj["metadata"]["name"]


# --- NetworkPolicy

def test_network_policy_admits_probes_from_everywhere_and_readers_of_metrics_from_the_namespace():
    assert not of_kind("NetworkPolicy")
    (policy,) = of_kind("NetworkPolicy", **{"networkPolicy.enabled": "true"})
    (deployment,) = of_kind("Deployment")
    labels = deployment["spec"]["template"]["metadata"]["labels"]
    assert policy["spec"]["podSelector"]["matchLabels"].items() <= labels.items()
    ports = {port["name"] for port in deployment["spec"]["template"]["spec"]["containers"][0]["ports"]}
    metrics, test, health = policy["spec"]["ingress"]
    assert metrics == {"from": [{"podSelector": {}}], "ports": [{"port": "http"}]}
    assert test["ports"] == metrics["ports"] and health == {"ports": [{"port": "health"}]} and ports == {"http", "health"}
    assert policy["spec"]["policyTypes"] == ["Ingress"] and "egress" not in policy["spec"]


def test_network_policy_that_admits_others_admits_the_pod_of_helm_test():
    (policy,) = of_kind("NetworkPolicy", **{"networkPolicy.enabled": "true", "networkPolicy.metricsFrom": "null"})
    (pod,) = of_kind("Pod")
    admitted, _ = policy["spec"]["ingress"]
    (peer,) = admitted["from"]
    assert peer["podSelector"]["matchLabels"].items() <= pod["metadata"]["labels"].items()


def test_waits_have_a_service_and_are_admitted_by_the_network_policy():
    assert not [o for o in of_kind("Service") if o["metadata"]["name"].endswith("-wait")]
    values = {"networkPolicy.enabled": "true", "wait.enabled": "true", "wait.port": 9000}
    (policy,) = of_kind("NetworkPolicy", **values)
    (deployment,) = of_kind("Deployment", **values)
    (service,) = [o for o in of_kind("Service", **values) if o["metadata"]["name"].endswith("-wait")]
    container = deployment["spec"]["template"]["spec"]["containers"][0]
    assert {"name": "wait", "containerPort": 9000} in container["ports"] and "--wait-listen=:9000" in container["args"]
    assert service["spec"]["ports"] == [{"name": "wait", "port": 9000, "targetPort": "wait"}]
    assert {"from": [{"namespaceSelector": {}}], "ports": [{"port": "wait"}]} in policy["spec"]["ingress"]


def test_network_policy_with_egress_restricts_it():
    (policy,) = of_kind("NetworkPolicy", **{"networkPolicy.enabled": "true", "networkPolicy.egress[0].ports[0].port": "5432"})
    assert policy["spec"]["policyTypes"] == ["Ingress", "Egress"]
    assert policy["spec"]["egress"] == [{"ports": [{"port": 5432}]}]


# --- values

REFUSED = {
    "equal ports": ({"port": 8081}, "healthPort"),
    "port for waits that is in use": ({"wait.enabled": "true", "wait.port": 8081}, "wait.port is 8081"),
    "replicas without election": ({"replicaCount": 2, "leaderElection.enabled": "false"}, "leaderElection.enabled: true"),
    "Lease namespace without election": ({"leaderElection.enabled": "false", "leaderElection.namespace": "a"}, "leaderElection.namespace"),
    "Lease too short": ({"leaderElection.leaseDurationSeconds": 10}, "leaseDurationSeconds is 10"),
    "deadline too short": ({"leaderElection.renewDeadlineSeconds": 2}, "renewDeadlineSeconds is 2"),
    "all namespaces without ClusterRole": ({"rbac.clusterRole": "false"}, "list the namespaces"),
    "permissions for everybody": ({"serviceAccount.create": "false"}, "name a ServiceAccount"),
    "budget for one": ({"podDisruptionBudget.enabled": "true"}, "replicaCount: 2"),
    "budget that allows no eviction": ({"podDisruptionBudget.enabled": "true", "podDisruptionBudget.minAvailable": 2, "replicaCount": 2},
                                   "smaller minAvailable"),
    "egress without policy": ({"networkPolicy.egress[0].ports[0].port": 443}, "networkPolicy.enabled: true"),
    "monitor without Service": ({"metrics.serviceMonitor.enabled": "true", "metrics.service.enabled": "false"}, "metrics.podMonitor"),
    "two monitors": ({"metrics.serviceMonitor.enabled": "true", "metrics.podMonitor.enabled": "true"}, "twice"),
    "console for everybody": ({"console.enabled": "true", "console.listen": ":8082"}, "console.tokenSecret"),
    "console at an address that is none": ({"console.enabled": "true", "console.listen": "127.1:8082"}, "console.tokenSecret"),
    "label of the selector": ({r"commonLabels.app\.kubernetes\.io/name": "x"}, "commonLabels has app.kubernetes.io/name"),
    "pod label of the selector": ({r"podLabels.app\.kubernetes\.io/instance": "x"}, "podLabels has app.kubernetes.io/instance"),
    "option for which there is a value": ({"extraArgs[0]": "--namespace=shop"}, "watchNamespaces"),
    "option in two arguments": ({"extraArgs[0]": "--leader-elect-namespace", "extraArgs[1]": "x"}, "leaderElection.namespace"),
    "retirement": ({"extraArgs[0]": "--retire"}, "--retire"),
    # By values.schema.json.
    "unknown value": ({"replicas": 2}, "replicas"),
    "unknown value inside": ({"metrics.prometheusRule.lag": 2}, "lag"),
    "no replica": ({"replicaCount": 0}, "replicaCount"),
    "text for a number": ({"maxPgSyncs": "many"}, "maxPgSyncs"),
    "privileged port": ({"port": 80}, "port"),
    "placement that does not exist": ({"worker.placement": "Elsewhere"}, "placement"),
    "digest of another kind": ({"image.digest": "sha256:abc"}, "digest"),
    "namespace that cannot exist": ({"watchNamespaces[0]": "Shop"}, "watchNamespaces"),
    "interval without unit": ({"metrics.podMonitor.interval": "30x"}, "interval"),
}


@pytest.mark.parametrize("values, hint", REFUSED.values(), ids=REFUSED.keys())
def test_values_that_contradict_each_other_are_refused(values, hint):
    with pytest.raises(RuntimeError) as refusal:
        render_chart(**values)
    assert hint in str(refusal.value), "the message does not say what to do"


def test_every_option_that_the_chart_sets_is_refused_as_an_extra_one():
    (deployment,) = of_kind("Deployment", **{"watchNamespaces[0]": "shop", "maxPgSyncs": 1, "secretLabel": "a",
                                       "console.enabled": "true", "console.tokenSecret": "a", "console.hosts[0]": "a",
                                       "wait.enabled": "true"})
    options = {a.split("=")[0] for a in deployment["spec"]["template"]["spec"]["containers"][0]["args"]}
    for option in options - {"--service-names", "--worker-placement"}:
        with pytest.raises(RuntimeError, match="extraArgs has"):
            render_chart(**{"extraArgs[0]": f"{option}=x"})


def test_a_namespaced_installation_has_nothing_outside_of_its_namespaces():
    values = yaml.safe_load((DATA / "chart/namespaced-values.yaml").read_text())
    assert values["crds"]["install"] is False, "the CRD is the administrator's"
    rendered = list(yaml.safe_load_all((DATA / "chart/namespaced.yaml").read_text()))
    assert {o["metadata"].get("namespace") for o in rendered} == {"pgsync-system", "shop", "blog"}


# --- what the chart renders is what was reviewed

def test_renderings_are_those_that_were_reviewed():
    done = subprocess.run([TREE / "hack/render", "--check"], env={**os.environ, "HELM": str(kubernetes.helm())},
                          capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def kustomized(directory):
    kubectl = kubernetes.fetch() / "kubectl"
    text = subprocess.run([kubectl, "kustomize", TREE / directory], capture_output=True, text=True, check=True).stdout
    return {identity(o): o for o in yaml.safe_load_all(text)}


def without_helm(obj):
    """No label or annotation of helm's, anywhere in the object."""
    if isinstance(obj, list):
        return [without_helm(each) for each in obj]
    if not isinstance(obj, dict):
        return obj
    kept = {key: without_helm(value) for key, value in obj.items()
            if not key.startswith("helm.sh/") and (key, value) != ("app.kubernetes.io/managed-by", "Helm")}
    return {key: value for key, value in kept.items() if not (key == "annotations" and value == {})}


def test_kustomize_applies_the_objects_of_the_chart():
    hooks = {"Job", "Pod"}
    chart = {identity(o): without_helm(o) for o in render_chart() if o["kind"] not in hooks}
    applied = kustomized("config/default")
    namespace = applied.pop(("Namespace", None, "pgsync-system"))
    assert namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"
    crd = ("CustomResourceDefinition", None, "pgsyncs.pgsync.io")
    assert applied.pop(crd)["spec"] == chart.pop(crd)["spec"]
    assert applied == chart


def test_kustomize_applies_the_monitoring_of_the_chart():
    kinds = {"ServiceMonitor", "PrometheusRule", "ConfigMap"}
    chart = {identity(o): without_helm(o) for o in render_chart(**MONITORING) if o["kind"] in kinds}
    assert len(chart) == len(kinds) and kustomized("config/monitoring") == chart


# --- alerts and dashboard

def alerts():
    (rule,) = of_kind("PrometheusRule", **MONITORING)
    return rule["spec"]


def test_alerts_fire_when_they_should_and_only_then(tmp_path):
    spec = alerts()
    for rule in (rule for group in spec["groups"] for rule in group["rules"]):
        rule["annotations"] = {"summary": rule["annotations"]["summary"]}
    (tmp_path / "rules.yaml").write_text(yaml.safe_dump(spec))
    (tmp_path / "alerts.yaml").write_text((DATA / "alerts.yaml").read_text())
    code, output = prometheus.check("test", tmp_path / "alerts.yaml")
    assert code == 0, output


def test_every_alert_has_a_test_that_it_fires_and_one_that_it_does_not():
    tests = yaml.safe_load((DATA / "alerts.yaml").read_text())["tests"]
    tried = [case for test in tests for case in test["alert_rule_test"]]
    for alert in (rule["alert"] for group in alerts()["groups"] for rule in group["rules"]):
        results = {bool(case["exp_alerts"]) for case in tried if case["alertname"] == alert}
        assert results == {True, False}, alert


def test_every_expression_of_alerts_and_dashboard_is_one_for_prometheus(tmp_path):
    (config_map,) = of_kind("ConfigMap", **MONITORING)
    (text,) = config_map["data"].values()
    expressions = re.findall(r'"expr": ("(?:[^"\\]|\\.)*")', text)
    assert len(expressions) > 20
    rules = [{"record": f"panel:{i}", "expr": json.loads(each).replace("$__rate_interval", "5m").replace("$", "")}
             for i, each in enumerate(expressions)]
    spec = alerts()
    spec["groups"].append({"name": "dashboard", "rules": rules})
    (tmp_path / "rules.yaml").write_text(yaml.safe_dump(spec))
    code, output = prometheus.check("check", tmp_path / "rules.yaml")
    assert code == 0, output


def panels():
    return json.loads((CHART / "files/dashboard.json").read_text())["panels"]


def test_dashboard_panels_are_explained_and_do_not_overlap():
    taken = {}
    for panel in panels():
        assert panel["title"] and (panel["type"] == "row" or panel["description"] and panel["targets"]), panel["id"]
        assert all(target["datasource"]["uid"] == "${datasource}" for target in panel.get("targets", [])), panel["title"]
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24, panel["title"]
        for x in range(place["x"], place["x"] + place["w"]):
            for y in range(place["y"], place["y"] + place["h"]):
                assert (x, y) not in taken, f"{panel['title']} covers {taken.get((x, y))}"
                taken[x, y] = panel["title"]
    assert len({panel["id"] for panel in panels()}) == len(panels())


# --- with an API server

@pytest.mark.parametrize("name", ["default", "full", "namespaced"])
def test_the_api_server_accepts_every_object(kube, name):
    for namespace in ("pgsync-system", "shop", "blog"):
        kube.namespace(namespace)
    objects = [o for o in yaml.safe_load_all((DATA / f"chart/{name}.yaml").read_text())
               # Of these the server knows no definition.
               if not o["apiVersion"].startswith("monitoring.coreos.com")]
    text = "---\n".join(yaml.safe_dump(o) for o in objects)
    arguments = ["apply", "--server-side", "--force-conflicts", "--dry-run=server", "--validate=strict", "-f", "-"]
    applied = kube.kubectl(*arguments, input=text).splitlines()
    assert len(applied) == len(objects) and all("serverside-applied" in line for line in applied)


def run_helm_test(operator, **environment):
    """What `helm test` runs, in its pod, here against an operator of the tests."""
    (pod,) = of_kind("Pod")
    (container,) = pod["spec"]["containers"]
    own = {each["name"]: each["value"] for each in container["env"]}
    assert own.keys() == {"SERVER", "PORT", "VERSION"}
    environment = {"PATH": os.environ["PATH"], **own, "SERVER": "127.0.0.1", "PORT": str(operator.port), **environment}
    return subprocess.run([*container["command"], *container["args"]], env=environment, capture_output=True, text=True, timeout=60)


def test_helm_test_passes_with_an_operator_that_works(operator):
    done = run_helm_test(operator)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "pgsync_info{" in done.stdout


def test_helm_test_fails_without_an_operator_and_with_an_old_one(operator):
    old = run_helm_test(operator, VERSION="9.9.9")
    assert old.returncode != 0 and "expected version 9.9.9" in old.stdout
    assert run_helm_test(operator, PORT="1").returncode != 0
