"""A database with far more tables than a PgSync names."""

import bookstore
import pytest
from parts.process import memory_peak_kib
from parts.search import eventually

TABLES = 20_000
# What docs/operations.md says that a PgSync needs at most.
MOST_KIB = 32 * 1024


@pytest.mark.long
def test_twenty_thousand_other_tables_cost_nothing(books, worker, manifest, opensearch, index):
    for first in range(0, TABLES, 500):  # each transaction may lock so many
        books.sql("DO $$ BEGIN FOR i IN %d..%d LOOP EXECUTE format('CREATE TABLE other_%%s (id int PRIMARY KEY, a text)', i); END LOOP; END $$"
                  % (first, first + 499))
    run = worker(manifest).start().wait_ready()
    books.sql("DO $$ BEGIN FOR i IN 0..1999 LOOP EXECUTE format('ALTER TABLE other_%s ADD COLUMN b int', i); END LOOP; END $$")
    books.sql("UPDATE books SET title = 'among many' WHERE id = 1")
    eventually(lambda: opensearch.document(index, "1")["title"] == "among many", 30, lambda: f"the change ({run.status()})")
    bookstore.wait_equal(opensearch, index, lambda: bookstore.expected(books))
    assert memory_peak_kib(run.process.pid) < MOST_KIB
    assert opensearch.aliases(index) == [f"{index}-g1"], "the index was rebuilt"
