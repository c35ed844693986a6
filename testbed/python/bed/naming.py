"""Users who create, move and drop what has a name, and know what must be there.

Every name belongs to one thread. A call that was not acknowledged leaves its name in
doubt; nothing more is asked of it before the end, when each of the possible states is
as good as any other, but a state in between is not.
"""

import random
import threading
from dataclasses import dataclass, field

from .client import SCHEMA, Client
from .journal import MISSING, Journal

# Databases that may be there at once: Milvus has room for 64.
MOST_DATABASES = 8


@dataclass
class Known:
    """A collection. What is certain has one possibility, what is in doubt has two."""

    shards: int
    names: list[str | None]
    partitions: dict[str, set[bool]] = field(default_factory=dict)

    def certain(self) -> bool:
        return len(self.names) == 1


class Naming(threading.Thread):
    """One user."""

    def __init__(self, number: int, client: Client, journal: Journal, stop: threading.Event, seed: int) -> None:
        super().__init__(name=f"naming-{number}", daemon=True)
        self.prefix = f"n{number}"
        self.client = client
        self.journal = journal
        self.stopped = stop
        self.random = random.Random(seed)
        self.collections: list[Known] = []
        # Alias to the collections to which it may belong; None: to no one.
        self.aliases: dict[str, list[Known | None]] = {}
        self.databases: dict[str, set[bool]] = {}
        self.used_names: set[str] = set()

    def run(self) -> None:
        turn = 0
        while not self.stopped.is_set():
            turn += 1
            try:
                self.turn(turn)
            except Exception as error:  # noqa: BLE001
                self.journal.violation(f"{self.name}: {type(error).__name__}: {error}")

    def turn(self, turn: int) -> None:
        collection = self.create(f"{self.prefix}_{turn}")
        if collection is None:
            return
        self.check(collection)
        for action in self.random.sample([self.partition, self.alias, self.rename, self.database], 2):
            if self.stopped.is_set() or not collection.certain():
                return
            action(collection, turn)
        # Some stay, for the end to find.
        if turn % 4 != 0 and collection.certain() and not self.in_use(collection):
            self.drop(collection)

    def create(self, name: str) -> Known | None:
        known = Known(self.random.choice([1, 2]), [name], {"_default": {True}})
        self.used_names.add(name)
        self.collections.append(known)
        if self.journal.did("create_collection", name, lambda: self.client.create_collection(name, known.shards)):
            return known
        known.names.append(None)
        return None

    def check(self, collection: Known) -> None:
        name = collection.names[0]
        seen = self.journal.call("describe_collection", name, lambda: self.client.describe_collection(name))
        if seen is not MISSING:
            self.compare(name, seen, collection)

    def compare(self, name: str, seen: dict, collection: Known) -> None:
        fields = [field["name"] for field in seen["fields"]]
        wanted = [field.name for field in SCHEMA.fields]
        if (fields, seen["num_shards"]) != (wanted, collection.shards):
            self.journal.violation(f"{name} has fields {fields} and {seen['num_shards']} shards")

    def partition(self, collection: Known, turn: int) -> None:
        owner, name = collection.names[0], f"p{turn}"
        subject = f"{owner}/{name}"
        known = collection.partitions.setdefault(name, {True})
        if not self.journal.did("create_partition", subject, lambda: self.client.create_partition(owner, name)):
            known.add(False)
            return
        self.look_for_partition(owner, name, there=True)
        if self.random.random() < 0.5:
            known.add(False)
            if self.journal.did("drop_partition", subject, lambda: self.client.drop_partition(owner, name)):
                known.discard(True)
                self.look_for_partition(owner, name, there=False)

    def look_for_partition(self, owner: str, name: str, there: bool) -> None:
        seen = self.journal.call("list_partitions", owner, lambda: self.client.list_partitions(owner))
        if seen is not MISSING and (name in seen) != there:
            self.journal.violation(f"{owner} has partitions {seen}; there must be {name}: {there}")

    def alias(self, collection: Known, turn: int) -> None:
        owner, alias = collection.names[0], f"a{self.prefix}_{turn}"
        targets = self.aliases.setdefault(alias, [collection])
        if not self.journal.did("create_alias", alias, lambda: self.client.create_alias(owner, alias)):
            targets.append(None)
            return
        self.look_for_alias(owner, alias, there=True)
        others = [known for known in self.collections if known.certain() and known.names[0] and known is not collection]
        if others and self.random.random() < 0.5:
            other = others[-1]
            targets.append(other)
            if not self.journal.did("alter_alias", alias, lambda: self.client.alter_alias(other.names[0], alias)):
                return
            targets.remove(collection)
            owner = other.names[0]
            self.look_for_alias(owner, alias, there=True)
        if self.random.random() < 0.7:
            targets.append(None)
            if self.journal.did("drop_alias", alias, lambda: self.client.drop_alias(alias)):
                targets[:] = [None]
                self.look_for_alias(owner, alias, there=False)

    def look_for_alias(self, owner: str, alias: str, there: bool) -> None:
        seen = self.journal.call("list_aliases", owner, lambda: self.client.list_aliases(owner))
        if seen is not MISSING and (alias in seen) != there:
            self.journal.violation(f"{owner} has aliases {seen}; there must be {alias}: {there}")

    def rename(self, collection: Known, turn: int) -> None:
        old, new = collection.names[0], f"{self.prefix}_{turn}_renamed"
        self.used_names.add(new)
        collection.names.append(new)
        if self.journal.did("rename_collection", old, lambda: self.client.rename_collection(old, new)):
            collection.names.remove(old)

    def database(self, _collection: Known, turn: int) -> None:
        if sum(states != {False} for states in self.databases.values()) >= MOST_DATABASES:
            return
        name = f"d{self.prefix}_{turn}"
        known = self.databases.setdefault(name, {True})
        if not self.journal.did("create_database", name, lambda: self.client.create_database(name)):
            known.add(False)
            return
        seen = self.journal.call("list_databases", name, self.client.list_databases)
        if seen is not MISSING and name not in seen:
            self.journal.violation(f"{name} was created and is not among {seen}")
        known.add(False)
        if self.journal.did("drop_database", name, lambda: self.client.drop_database(name)):
            known.discard(True)

    def in_use(self, collection: Known) -> bool:
        return any(collection in targets for targets in self.aliases.values())

    def drop(self, collection: Known) -> None:
        name = collection.names[0]
        collection.names.append(None)
        if self.journal.did("drop_collection", name, lambda: self.client.drop_collection(name)):
            collection.names.remove(name)
            seen = self.journal.call("has_collection", name, lambda: self.client.has_collection(name))
            if seen is True:
                self.journal.violation(f"{name} was dropped and is there")
