"""What the chart renders; no cluster is needed for that."""

from parts.operator import render_chart


def of_kind(kind, **values):
    return [o for o in render_chart(**values) if o["kind"] == kind]


def test_network_policy_admits_probes_from_everywhere_and_readers_of_metrics_from_the_namespace():
    assert not of_kind("NetworkPolicy")
    (policy,) = of_kind("NetworkPolicy", **{"networkPolicy.enabled": "true"})
    (deployment,) = of_kind("Deployment")
    labels = deployment["spec"]["template"]["metadata"]["labels"]
    assert policy["spec"]["podSelector"]["matchLabels"].items() <= labels.items()
    ports = {port["name"] for port in deployment["spec"]["template"]["spec"]["containers"][0]["ports"]}
    rules = {rule["ports"][0]["port"]: rule.get("from") for rule in policy["spec"]["ingress"]}
    assert rules == {"http": [{"podSelector": {}}], "health": None} and rules.keys() <= ports
    assert policy["spec"]["policyTypes"] == ["Ingress"] and "egress" not in policy["spec"]


def test_network_policy_with_egress_restricts_it():
    (policy,) = of_kind("NetworkPolicy", **{"networkPolicy.enabled": "true", "networkPolicy.egress[0].ports[0].port": "5432"})
    assert policy["spec"]["policyTypes"] == ["Ingress", "Egress"]
    assert policy["spec"]["egress"] == [{"ports": [{"port": 5432}]}]
