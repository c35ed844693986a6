"""The users find out a cluster that lies, and believe one that is honest.

The cluster is a few dictionaries here; each test breaks one promise of it.
"""

import contextlib
import io
import random
import sys
import threading
import unittest

from pymilvus import MilvusException

from bed.client import SCHEMA
from bed.journal import Journal
from bed.naming import Naming
from bed.rows import Table, Writer
from bed.verify import Verification


class Cluster:
    """An honest one, with the methods of `bed.client.Client`."""

    def __init__(self) -> None:
        self.collections: dict[str, dict] = {}
        self.aliases: dict[str, str] = {}
        self.databases = {"default"}
        # Whether it may break its promises already, or still.
        self.armed = False

    def named(self, name: str) -> dict:
        if name not in self.collections:
            raise MilvusException(100, f"collection not found: {name}")
        return self.collections[name]

    def create_collection(self, name, shards):
        self.collections.setdefault(name, {"shards": shards, "partitions": {"_default"}, "rows": set()})

    def drop_collection(self, name):
        self.collections.pop(name, None)

    def has_collection(self, name):
        return name in self.collections

    def describe_collection(self, name):
        fields = [{"name": field.name} for field in SCHEMA.fields]
        return {"fields": fields, "num_shards": self.named(name)["shards"]}

    def list_collections(self):
        return list(self.collections)

    def rename_collection(self, old, new):
        self.named(old)
        self.collections[new] = self.collections.pop(old)
        self.aliases = {alias: new if of == old else of for alias, of in self.aliases.items()}

    def create_partition(self, collection, name):
        self.named(collection)["partitions"].add(name)

    def drop_partition(self, collection, name):
        self.named(collection)["partitions"].discard(name)

    def list_partitions(self, collection):
        return list(self.named(collection)["partitions"])

    def create_alias(self, collection, alias):
        self.named(collection)
        self.aliases[alias] = collection

    alter_alias = create_alias

    def drop_alias(self, alias):
        self.aliases.pop(alias, None)

    def list_aliases(self, collection):
        return [alias for alias, of in self.aliases.items() if of == collection]

    def create_database(self, name):
        self.databases.add(name)

    def drop_database(self, name):
        self.databases.discard(name)

    def list_databases(self):
        return list(self.databases)

    def create_index(self, collection):
        self.named(collection)

    load = flush = create_index

    def insert(self, collection, keys):
        self.named(collection)["rows"].update(keys)

    def delete(self, collection, keys):
        self.named(collection)["rows"].difference_update(keys)

    def query(self, collection, expression):
        rows = self.named(collection)["rows"]
        if expression == "id >= 0":
            return set(rows)
        return rows.intersection(eval(expression.removeprefix("id in ")))  # noqa: S307: made in this program


WRITES = [
    "create_collection",
    "drop_collection",
    "rename_collection",
    "create_partition",
    "drop_partition",
    "create_alias",
    "alter_alias",
    "drop_alias",
    "create_database",
    "drop_database",
    "insert",
    "delete",
]


def play(cluster: Cluster) -> list[str]:
    """What one user of each kind holds against it."""
    journal, stop = Journal(), threading.Event()
    table = Table("t0", 1)
    writer = Writer(table, cluster, journal, stop, 1)
    user = Naming(0, cluster, journal, stop, 2)
    with contextlib.redirect_stdout(io.StringIO()):
        writer.prepare()
        cluster.armed = True
        for turn in range(1, 80):
            user.turn(turn)
            writer.insert()
            writer.delete()
        cluster.armed = False
        Verification(cluster, journal).all([user], [table])
    return journal.violations


def forgetful(method: str) -> Cluster:
    """Acknowledges every seventh call of that method and does nothing."""
    cluster = Cluster()
    honest, count = getattr(cluster, method), 0

    def lie(*arguments):
        nonlocal count
        count += cluster.armed
        if count % 7 != 0 or not cluster.armed:
            honest(*arguments)

    setattr(cluster, method, lie)
    return cluster


def unsteady(seed: int) -> Cluster:
    """Fails now and then without an answer, before or after it did what was asked."""
    cluster, chance = Cluster(), random.Random(seed)

    def wrap(honest):
        def call(*arguments):
            fate = chance.random() if cluster.armed else 1.0
            if fate < 0.1:
                raise ConnectionError("before")
            honest(*arguments)
            if fate < 0.2:
                raise ConnectionError("after")

        return call

    for method in WRITES:
        setattr(cluster, method, wrap(getattr(cluster, method)))
    return cluster


class TheUsers(unittest.TestCase):
    def test_believe_an_honest_cluster(self):
        self.assertEqual(play(Cluster()), [])

    def test_believe_one_whose_answers_get_lost(self):
        for seed in range(10):
            self.assertEqual(play(unsteady(seed)), [], f"seed {seed}")

    def test_find_every_write_that_is_acknowledged_and_not_done(self):
        for method in WRITES:
            with self.subTest(method):
                self.assertNotEqual(play(forgetful(method)), [])

    def test_find_a_rename_that_leaves_both_names(self):
        cluster = Cluster()

        def half(old, new):
            cluster.collections[new] = dict(cluster.named(old))
            raise ConnectionError("half done")

        cluster.rename_collection = half
        self.assertTrue(any("these are there" in text for text in play(cluster)))

    def test_find_half_a_batch(self):
        cluster = Cluster()

        def half(collection, keys):
            cluster.named(collection)["rows"].update(keys[: len(keys) // 2])
            raise ConnectionError("half done")

        cluster.insert = half
        self.assertTrue(any("rows of one call" in text for text in play(cluster)))

    def test_find_a_remainder_that_is_in_the_way(self):
        cluster = Cluster()
        honest, refused = cluster.create_collection, set()

        def create(name, shards):
            if name in refused:
                raise MilvusException(1, f"channels of {name} exist")
            if cluster.armed and not refused:
                refused.add(name)
                raise ConnectionError("half done")
            honest(name, shards)

        cluster.create_collection = create
        with self.assertRaises(MilvusException):
            play(cluster)


if __name__ == "__main__":
    # Its caller gives every program the same arguments.
    unittest.main(argv=sys.argv[:1])
