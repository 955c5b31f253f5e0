"""Two installations of the operator that watch the same PgSyncs: one works, and the other says so and waits."""

from parts.operator import Release
from parts.search import eventually
from pgsync import condition

QUICK = {"leaderElection.leaseDurationSeconds": 4, "leaderElection.renewDeadlineSeconds": 3, "leaderElection.retryPeriodSeconds": 1}
NAME = "books"


def test_the_later_one_stands_back_and_takes_over_when_the_first_one_dies(kube, state, resources, books, opensearch, index, namespace):
    def lease():
        return resources.get(NAME)["status"]["operator"]["lease"]

    def wait_for_rival(release):
        """The one that works says which other one there is."""
        resources.wait(NAME, "Degraded", "True", reason="OtherOperator", contains=[f"Lease {release.namespace}/pgsync-operator)"])
        eventually(lambda: not release.operator.workers(), 20, "the end of its worker")

    with Release(kube, state, f"{namespace}-a", **QUICK) as first, Release(kube, state, f"{namespace}-b", **QUICK) as second:
        first.operator.start()
        resources.apply_books(NAME, books, opensearch.url, index=index)
        resources.wait(NAME)
        streams = books.walsenders()
        second.operator.start()
        wait_for_rival(second)
        assert any(reason == "OtherOperator" for reason, _ in resources.events(NAME))
        assert books.walsenders() == streams, "the second took the slot"
        assert lease() == f"{first.namespace}/pgsync-operator"
        resources.wait(NAME)

        first.operator.process.kill9()
        eventually(lambda: lease() == f"{second.namespace}/pgsync-operator", 60, "the other operator's claim")
        resources.wait(NAME)
        first.operator.start()
        wait_for_rival(first)
        assert lease() == f"{second.namespace}/pgsync-operator"
        first.operator.stop()
        resources.wait(NAME, "Degraded", "False")
        resources.delete(NAME)
        assert books.slots() == []
