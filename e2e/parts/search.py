"""What tests ask of Elasticsearch and OpenSearch alike."""

import json
import time
from decimal import Decimal

import requests


def _parse(text):
    """JSON with the digits of its numbers kept, so that a price can be compared exactly."""
    return json.loads(text, parse_float=Decimal)


class SearchEngine:
    """A client of one search engine; the classes that start one inherit it."""

    def __init__(self, url):
        self.url = url
        self.http = requests.Session()
        self.http.trust_env = False

    def request(self, method, path, body=None, *, ok=(200, 201), **options):
        """One request with a JSON body; returns the JSON answer and raises for any status but `ok`."""
        answer = self.http.request(method, f"{self.url}/{path.lstrip('/')}", json=body, timeout=60, **options)
        if answer.status_code not in ok:
            raise RuntimeError(f"{method} {path}: {answer.status_code} {answer.text[:500]}")
        return _parse(answer.text)

    def answers(self):
        try:
            return self.http.get(f"{self.url}/_cluster/health", params={"wait_for_status": "yellow", "timeout": "1s"},
                                 timeout=5).status_code == 200
        except requests.RequestException:
            return False

    def document(self, index, id):
        """The `_source` of a document, read by id (no refresh needed); None where there is none."""
        answer = self.http.get(f"{self.url}/{index}/_doc/{id}", timeout=30)
        return _parse(answer.text)["_source"] if answer.status_code == 200 else None

    def refresh(self, index):
        self.request("POST", f"{index}/_refresh")

    def count(self, index):
        self.refresh(index)
        return self.request("GET", f"{index}/_count")["count"]

    def documents(self, index):
        """All documents of an index: {id: _source}."""
        self.refresh(index)
        found, page = {}, self.request("POST", f"{index}/_search?scroll=2m", {"size": 5000, "sort": ["_doc"]})
        while page["hits"]["hits"]:
            found.update((hit["_id"], hit["_source"]) for hit in page["hits"]["hits"])
            page = self.request("POST", "_search/scroll", {"scroll": "2m", "scroll_id": page["_scroll_id"]})
        self.request("DELETE", "_search/scroll", {"scroll_id": page["_scroll_id"]})
        return found

    def search(self, index, query):
        self.refresh(index)
        return self.request("POST", f"{index}/_search", {"query": query})["hits"]["hits"]

    def aliases(self, name):
        """The real indices behind an alias."""
        answer = self.http.get(f"{self.url}/_alias/{name}", timeout=30)
        return sorted(answer.json()) if answer.status_code == 200 else []

    def indices(self, pattern="*"):
        found = self.request("GET", f"_cat/indices/{pattern}?format=json&expand_wildcards=all", ok=(200, 404))
        return sorted(i["index"] for i in found) if isinstance(found, list) else []

    def delete_indices(self, pattern):
        for index in self.indices(pattern):
            self.request("DELETE", index, ok=(200, 404))


def eventually(check, timeout=10, what="it", interval=0.02):
    """Polls check() until it returns something true, and returns that. `what` begins the message of a failure. Pauses grow
    from `interval` to a tenth of a second: what takes long is asked less often, and leaves the processor to what is waited for."""
    deadline = time.monotonic() + timeout
    while True:
        result = check()
        if result:
            return result
        if time.monotonic() > deadline:
            raise AssertionError(f"{what() if callable(what) else what} did not happen within {timeout} s")
        time.sleep(interval)
        interval = max(interval, min(interval * 1.1, 0.1))
