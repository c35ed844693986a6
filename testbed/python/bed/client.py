"""One connection to a proxy, each of whose methods is one call of the wire."""

from pymilvus import CollectionSchema, DataType, FieldSchema
from pymilvus.client.grpc_handler import GrpcHandler

DIMENSION = 8

SCHEMA = CollectionSchema(
    [
        FieldSchema("id", DataType.INT64, is_primary=True),
        FieldSchema("vector", DataType.FLOAT_VECTOR, dim=DIMENSION),
    ]
)

INDEX = {"index_type": "FLAT", "metric_type": "L2", "params": {}}


def vector(key: int) -> list[float]:
    """A vector that no other key below 10 million has; small whole numbers are exact in floats."""
    return [float(key // 10**place % 10) for place in range(7)] + [0.0]


class Client:
    """Not shared between threads: calls of one connection wait for each other."""

    def __init__(self, uri: str, timeout: int) -> None:
        self.timeout = timeout
        self.handler = GrpcHandler(uri=uri)
        self.handler._wait_for_channel_ready(timeout=timeout)

    def create_collection(self, name: str, shards: int) -> None:
        self.handler.create_collection(
            name, SCHEMA, shards_num=shards, consistency_level="Strong", timeout=self.timeout
        )

    def drop_collection(self, name: str) -> None:
        self.handler.drop_collection(name, timeout=self.timeout)

    def has_collection(self, name: str) -> bool:
        return self.handler.has_collection(name, timeout=self.timeout)

    def describe_collection(self, name: str) -> dict:
        return self.handler.describe_collection(name, timeout=self.timeout)

    def list_collections(self) -> list[str]:
        return self.handler.list_collections(timeout=self.timeout)

    def rename_collection(self, old: str, new: str) -> None:
        self.handler.rename_collections(old, new, timeout=self.timeout)

    def create_partition(self, collection: str, name: str) -> None:
        self.handler.create_partition(collection, name, timeout=self.timeout)

    def drop_partition(self, collection: str, name: str) -> None:
        self.handler.drop_partition(collection, name, timeout=self.timeout)

    def list_partitions(self, collection: str) -> list[str]:
        return self.handler.list_partitions(collection, timeout=self.timeout)

    def create_alias(self, collection: str, alias: str) -> None:
        self.handler.create_alias(collection, alias, timeout=self.timeout)

    def alter_alias(self, collection: str, alias: str) -> None:
        self.handler.alter_alias(collection, alias, timeout=self.timeout)

    def drop_alias(self, alias: str) -> None:
        self.handler.drop_alias(alias, timeout=self.timeout)

    def list_aliases(self, collection: str) -> list[str]:
        return list(self.handler.list_aliases(collection, timeout=self.timeout)["aliases"])

    def create_database(self, name: str) -> None:
        self.handler.create_database(name, timeout=self.timeout)

    def drop_database(self, name: str) -> None:
        self.handler.drop_database(name, timeout=self.timeout)

    def list_databases(self) -> list[str]:
        return list(self.handler.list_database(timeout=self.timeout))

    def create_index(self, collection: str) -> None:
        self.handler.create_index(collection, "vector", INDEX, timeout=self.timeout)

    def load(self, collection: str) -> None:
        self.handler.load_collection(collection, timeout=self.timeout)

    def insert(self, collection: str, keys: range) -> None:
        rows = [{"id": key, "vector": vector(key)} for key in keys]
        answer = self.handler.insert_rows(collection, rows, timeout=self.timeout)
        if answer.insert_count != len(keys):
            raise AssertionError(f"{answer.insert_count} of {len(keys)} rows inserted")

    def delete(self, collection: str, keys: list[int]) -> None:
        self.handler.delete(collection, f"id in {keys}", timeout=self.timeout)

    def flush(self, collection: str) -> None:
        self.handler.flush([collection], timeout=self.timeout)

    def query(self, collection: str, expression: str) -> set[int]:
        answer = self.handler.query(
            collection, expression, output_fields=["id"], consistency_level=0, timeout=self.timeout
        )
        keys = [row["id"] for row in answer]
        if len(set(keys)) != len(keys):
            raise AssertionError(f"{len(keys) - len(set(keys))} rows more than once for {expression}")
        return set(keys)

    def nearest(self, collection: str, key: int) -> int | None:
        parameters = {"metric_type": "L2", "params": {}}
        answer = self.handler.search(
            collection, [vector(key)], "vector", parameters, 1, consistency_level=0, timeout=self.timeout
        )
        return next((hit.id for hit in answer[0]), None)
