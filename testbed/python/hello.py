"""Everything a user does with collections, once and in order, each answer checked.

Prints one JSON object per step: name, seconds. Ends with 0 if every step did what it promises.
"""

import argparse
import contextlib
import sys
import time
import traceback

from pymilvus import Collection, CollectionSchema, DataType, FieldSchema, MilvusException
from pymilvus import Partition, connections, db, utility

from bed.report import report

DIMENSION = 8
ROWS = 200
ALIAS = "default"


def expect(actual: object, wanted: object, what: str) -> None:
    if actual != wanted:
        raise AssertionError(f"{what}: {actual!r} instead of {wanted!r}")


def vector(key: int) -> list[float]:
    """A vector that is nearest to itself among those of all keys below ten thousand."""
    return [float(key // 10**place % 10) for place in range(4)] + [0.0] * (DIMENSION - 4)


def schema() -> CollectionSchema:
    return CollectionSchema(
        [
            FieldSchema("id", DataType.INT64, is_primary=True),
            FieldSchema("word", DataType.VARCHAR, max_length=64),
            FieldSchema("vector", DataType.FLOAT_VECTOR, dim=DIMENSION),
        ],
        description="hello",
    )


def rows(keys: range) -> list[list]:
    return [list(keys), [f"word {key}" for key in keys], [vector(key) for key in keys]]


def found(collection: Collection, expression: str, **options: object) -> list[int]:
    answer = collection.query(expression, output_fields=["id"], consistency_level="Strong", **options)
    return sorted(row["id"] for row in answer)


def nearest(collection: Collection, key: int, limit: int = 1) -> list[int]:
    hits = collection.search(
        [vector(key)],
        "vector",
        {"metric_type": "L2", "params": {"nprobe": 16}},
        limit,
        output_fields=["word"],
        consistency_level="Strong",
    )[0]
    for hit in hits:
        expect(hit.entity.get("word"), f"word {hit.id}", "the word of a hit")
    return [hit.id for hit in hits]


def refused(action, *words: str) -> None:
    """The action must fail, with a message that has one of the words."""
    try:
        action()
    except MilvusException as error:
        if not any(word in str(error) for word in words):
            raise AssertionError(f"refused, but not because of {words}: {error}") from error
    else:
        raise AssertionError(f"not refused; expected {words}")


@contextlib.contextmanager
def using(name: str):
    """Inside, everything happens in that database."""
    db.using_database(name)
    try:
        yield
    finally:
        db.using_database("default")


class Hello:
    """The steps, in the order in which they stand here."""

    def __init__(self, uri: str) -> None:
        self.uri = uri
        self.collection: Collection

    def connect(self) -> None:
        connections.connect(ALIAS, uri=self.uri, timeout=60)
        expect(utility.get_server_version().lstrip("v").startswith("2.3"), True, "the version")
        expect(utility.list_collections(), [], "collections at the beginning")

    def create_collection(self) -> None:
        self.collection = Collection("hello", schema(), shards_num=2, consistency_level="Strong")
        expect(utility.has_collection("hello"), True, "the collection")
        seen = Collection("hello")
        expect([field.name for field in seen.schema.fields], ["id", "word", "vector"], "fields")
        expect(seen.schema.description, "hello", "description")
        expect(seen.num_shards, 2, "shards")
        refused(lambda: Collection("absent"), "not exist", "not found")

    def create_partitions(self) -> None:
        for name in ("even", "odd"):
            self.collection.create_partition(name)
        names = sorted(part.name for part in self.collection.partitions)
        expect(names, ["_default", "even", "odd"], "partitions")

    def insert(self) -> None:
        answer = self.collection.insert(rows(range(ROWS)))
        expect(answer.insert_count, ROWS, "inserted rows")
        for name, keys in (("even", range(1000, 1100, 2)), ("odd", range(1001, 1101, 2))):
            answer = self.collection.insert(rows(keys), partition_name=name)
            expect(answer.insert_count, 50, f"inserted rows of {name}")

    def flush(self) -> None:
        self.collection.flush(timeout=120)
        expect(self.collection.num_entities, ROWS + 100, "entities")
        expect(Partition(self.collection, "odd").num_entities, 50, "entities of odd")

    def create_index(self) -> None:
        index = {"index_type": "IVF_FLAT", "metric_type": "L2", "params": {"nlist": 16}}
        self.collection.create_index("vector", index, index_name="by_vector")
        expect(utility.wait_for_index_building_complete("hello", "by_vector", timeout=120), True, "the index")
        expect([index.index_name for index in self.collection.indexes], ["by_vector"], "indexes")

    def load(self) -> None:
        self.collection.load(timeout=120)
        expect(str(utility.load_state("hello")), "Loaded", "load state")

    def search(self) -> None:
        for key in (0, 7, 123, 1000, 1099):
            expect(nearest(self.collection, key), [key], f"nearest to {key}")
        expect(len(nearest(self.collection, 50, limit=20)), 20, "hits")

    def query(self) -> None:
        expect(found(self.collection, "id in [1, 5, 199, 500]"), [1, 5, 199], "rows by key")
        expect(found(self.collection, 'word == "word 42"'), [42], "rows by word")
        odd = found(self.collection, "id >= 0", partition_names=["odd"], limit=1000)
        expect(odd, list(range(1001, 1101, 2)), "rows of a partition")
        count = self.collection.query("", output_fields=["count(*)"], consistency_level="Strong")
        expect(count[0]["count(*)"], ROWS + 100, "the count of all rows")

    def insert_into_the_loaded(self) -> None:
        self.collection.insert(rows(range(5000, 5010)))
        expect(found(self.collection, "id >= 5000"), list(range(5000, 5010)), "rows just inserted")
        expect(nearest(self.collection, 5003), [5003], "nearest to a row just inserted")

    def delete(self) -> None:
        self.collection.delete("id in [1, 5, 5003, 1000]")
        expect(found(self.collection, "id in [0, 1, 5, 1000, 5003, 5004]"), [0, 5004], "rows after a delete")

    def upsert(self) -> None:
        self.collection.upsert([[0], ["word 0"], [vector(9999)]])
        expect(nearest(self.collection, 9999), [0], "nearest after an upsert")

    def aliases(self) -> None:
        Collection("other", schema())
        utility.create_alias("hello", "greeting")
        expect(utility.list_aliases("hello"), ["greeting"], "aliases")
        expect(found(Collection("greeting"), "id == 7"), [7], "rows by alias")
        utility.alter_alias("other", "greeting")
        expect(utility.list_aliases("hello"), [], "aliases after it was moved")
        expect(utility.list_aliases("other"), ["greeting"], "aliases of the other")
        refused(lambda: utility.create_alias("hello", "other"), "collection", "alias")
        utility.drop_alias("greeting")
        expect(utility.list_aliases("other"), [], "aliases after the drop")

    def rename(self) -> None:
        utility.rename_collection("other", "another")
        expect(sorted(utility.list_collections()), ["another", "hello"], "collections after a rename")
        refused(lambda: utility.rename_collection("another", "hello"), "duplicate", "exist")

    def drop_partition(self) -> None:
        self.collection.release()
        Partition(self.collection, "odd").drop()
        names = sorted(part.name for part in self.collection.partitions)
        expect(names, ["_default", "even"], "partitions after a drop")
        self.collection.load(timeout=120)
        expect(found(self.collection, "id in [1003, 1002, 8]"), [8, 1002], "rows after the drop of a partition")

    def databases(self) -> None:
        db.create_database("second")
        expect(sorted(db.list_database()), ["default", "second"], "databases")
        with using("second"):
            expect(utility.list_collections(), [], "collections of a new database")
            Collection("hello", schema())
            refused(lambda: db.drop_database("second"), "not empty", "must drop all collections")
            utility.drop_collection("hello")
        expect(sorted(utility.list_collections()), ["another", "hello"], "collections of the default database")
        db.drop_database("second")
        expect(db.list_database(), ["default"], "databases after the drop")

    def drop(self) -> None:
        self.collection.release()
        self.collection.drop_index(index_name="by_vector")
        expect(self.collection.indexes, [], "indexes after the drop")
        for name in ("another", "hello"):
            utility.drop_collection(name)
        expect(utility.list_collections(), [], "collections at the end")
        refused(lambda: Collection("hello"), "not exist", "not found")


STEPS = [name for name, value in vars(Hello).items() if callable(value) and not name.startswith("_")]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--uri", required=True, help="http://host:port of the proxy")
    parser.add_argument("--stop-file", help="of no use here: it ends by itself")
    hello = Hello(parser.parse_args().uri)
    for name in STEPS:
        begin = time.monotonic()
        try:
            getattr(hello, name)()
        except Exception as error:
            traceback.print_exc()
            report(step=name, outcome="failed", seconds=round(time.monotonic() - begin, 3), text=str(error))
            return 1
        report(step=name, outcome="ok", seconds=round(time.monotonic() - begin, 3))
    return 0


if __name__ == "__main__":
    sys.exit(main())
