"""`helm uninstall` while there are PgSyncs: what Kubernetes would do is done here, in helm's order."""

import pytest
from parts.operator import Release, render_chart
from pgsync import condition

QUICK = {"leaderElection.leaseDurationSeconds": 4, "leaderElection.renewDeadlineSeconds": 3, "leaderElection.retryPeriodSeconds": 1}
NAME = "books"


@pytest.fixture
def release(kube, state, namespace):
    with Release(kube, state, namespace, **QUICK) as made:
        yield made


def test_the_hook_is_a_hook():
    (job,) = [o for o in render_chart() if o["kind"] == "Job"]
    assert job["metadata"]["annotations"]["helm.sh/hook"] == "pre-delete"
    (deployment,) = [o for o in render_chart() if o["kind"] == "Deployment"]
    selector = deployment["spec"]["selector"]["matchLabels"].items()
    assert not selector <= job["spec"]["template"]["metadata"]["labels"].items(), "Services would select its pod"
    assert not [o for o in render_chart(**{"uninstallHook.enabled": "false"}) if o["kind"] == "Job"]


def test_statuses_say_that_the_operator_was_uninstalled(release, books, resources, opensearch, index):
    def is_stopped():
        found = condition(resources.get(NAME), "Ready")
        return (found["status"], found["reason"]) == ("Unknown", "OperatorStopped")

    with release.operator:
        resources.apply_books(NAME, books, opensearch.url, index=index)
        resources.wait(NAME)
        release.run_hook()
        assert is_stopped(), resources.get(NAME)["status"]
        assert "lag" not in resources.get(NAME)["status"]["stream"]
        # The rest of the uninstallation failed: the operator is still there, and goes on.
        resources.wait(NAME)
        release.run_hook()
        assert books.walsenders() == []
        release.delete_permissions()
        release.operator.stop()
        assert is_stopped(), resources.get(NAME)["status"]
    # Another installation finds everything as it was.
    release.install()
    with release.operator:
        resources.wait(NAME)
        assert opensearch.aliases(index) == [f"{index}-g1"]
        resources.delete(NAME)
