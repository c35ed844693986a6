"""Users of rows: each writes into a collection of its own, and reads with consistency
level Strong what it was told is there. A second thread reads the same meanwhile."""

import random
import threading

from .client import Client
from .journal import MISSING, Journal

BATCH = 20
FLUSH_EVERY = 15


class Table:
    """A collection and what is known of its rows. Its lock is never held during a call."""

    def __init__(self, name: str, shards: int) -> None:
        self.name = name
        self.shards = shards
        self.lock = threading.Lock()
        self.certain: set[int] = set()
        self.gone: set[int] = set()
        # Batches and deletes without acknowledgement, whose rows may or may not be there.
        self.doubtful_inserts: list[range] = []
        self.doubtful_deletes: list[list[int]] = []

    def some(self, chance: random.Random, count: int) -> list[int]:
        with self.lock:
            return chance.sample(sorted(self.certain), min(count, len(self.certain)))

    def still_certain(self, keys: list[int]) -> set[int]:
        with self.lock:
            return self.certain.intersection(keys)


class Writer(threading.Thread):
    """The only one that changes a table."""

    def __init__(self, table: Table, client: Client, journal: Journal, stop: threading.Event, seed: int) -> None:
        super().__init__(name=f"writer-{table.name}", daemon=True)
        self.table, self.client, self.journal, self.stopped = table, client, journal, stop
        self.random = random.Random(seed)
        self.next_key = 0

    def prepare(self) -> None:
        name = self.table.name
        self.client.create_collection(name, self.table.shards)
        self.client.create_index(name)
        self.client.load(name)

    def run(self) -> None:
        turn = 0
        while not self.stopped.is_set():
            turn += 1
            self.insert()
            if turn % 3 == 0:
                self.delete()
            if turn % FLUSH_EVERY == 0:
                name = self.table.name
                self.journal.did("flush", name, lambda: self.client.flush(name))

    def insert(self) -> None:
        table, keys = self.table, range(self.next_key, self.next_key + BATCH)
        self.next_key += BATCH
        done = self.journal.did("insert", table.name, lambda: self.client.insert(table.name, keys))
        with table.lock:
            if done:
                table.certain.update(keys)
            else:
                table.doubtful_inserts.append(keys)
        if done:
            look(table, list(keys), self.client, self.journal)

    def delete(self) -> None:
        table = self.table
        keys = table.some(self.random, 3)
        if not keys:
            return
        with table.lock:
            table.certain.difference_update(keys)
        done = self.journal.did("delete", table.name, lambda: self.client.delete(table.name, keys))
        with table.lock:
            if done:
                table.gone.update(keys)
            else:
                table.doubtful_deletes.append(keys)
        if done:
            seen = self.journal.call("query", table.name, lambda: self.client.query(table.name, f"id in {keys}"))
            if seen is not MISSING and seen:
                self.journal.violation(f"{table.name}: rows {sorted(seen)} were deleted and are there")


class Reader(threading.Thread):
    """Reads beside the writer."""

    def __init__(self, table: Table, client: Client, journal: Journal, stop: threading.Event, seed: int) -> None:
        super().__init__(name=f"reader-{table.name}", daemon=True)
        self.table, self.client, self.journal, self.stopped = table, client, journal, stop
        self.random = random.Random(seed)

    def run(self) -> None:
        while not self.stopped.is_set():
            keys = self.table.some(self.random, 10)
            if not keys:
                self.stopped.wait(0.1)
                continue
            look(self.table, keys, self.client, self.journal)
            key = keys[0]
            name = self.table.name
            seen = self.journal.call("search", name, lambda: self.client.nearest(name, key))
            if seen is not MISSING and seen != key and self.table.still_certain([key]):
                self.journal.violation(f"{name}: nearest to {key} is {seen}")


def look(table: Table, keys: list[int], client: Client, journal: Journal) -> None:
    """A Strong query must return all of these that nobody deletes meanwhile."""
    seen = journal.call("query", table.name, lambda: client.query(table.name, f"id in {keys}"))
    if seen is MISSING:
        return
    missing = table.still_certain(keys) - seen
    if missing:
        journal.violation(f"{table.name}: rows {sorted(missing)} were inserted and are not there")
