"""The end: every acknowledged call holds, and every other one happened wholly or not at all."""

from .client import Client
from .journal import Journal
from .naming import Known, Naming
from .rows import Table


class Verification:
    """Asks a cluster at rest. A call that fails now is a violation of its own."""

    def __init__(self, client: Client, journal: Journal) -> None:
        self.client = client
        self.journal = journal
        self.checks = 0
        self.listed: set[str] = set()

    def all(self, users: list[Naming], tables: list[Table]) -> None:
        self.listed = set(self.client.list_collections())
        known = {table.name for table in tables}.union(*(user.used_names for user in users))
        self.require(self.listed <= known, f"collections that nobody made: {sorted(self.listed - known)}")
        for user in users:
            names = {id(known): self.collection(user, known) for known in user.collections}
            self.superfluous(user)
            for alias, targets in user.aliases.items():
                self.alias(alias, [names[id(known)] if known else None for known in targets])
        self.databases(users)
        for table in tables:
            self.rows(table)

    def require(self, holds: bool, text: str) -> None:
        self.checks += 1
        if not holds:
            self.journal.violation(text)

    def collection(self, user: Naming, known: Known) -> str | None:
        """The name that it has now."""
        there = [name for name in known.names if name in self.listed]
        possible = [[name] if name else [] for name in known.names]
        self.require(there in possible, f"of the names {known.names} these are there: {there}")
        for name in known.names:
            if name and not there:
                self.whole_absence(name, known)
        if not there:
            return None
        name = there[0]
        user.compare(name, self.client.describe_collection(name), known)
        partitions = set(self.client.list_partitions(name))
        for partition, states in known.partitions.items():
            self.require((partition in partitions) in states, f"partition {name}/{partition}: not {states}")
        strange = partitions - set(known.partitions)
        self.require(not strange, f"{name} has partitions that nobody made: {strange}")
        return name

    def whole_absence(self, name: str, known: Known) -> None:
        """Nothing is left that would be in the way of the same name."""
        self.client.create_collection(name, known.shards)
        self.require(self.client.has_collection(name), f"{name} could not be created again")
        self.client.drop_collection(name)
        self.require(not self.client.has_collection(name), f"{name} could not be dropped again")

    def superfluous(self, user: Naming) -> None:
        possible = {name for known in user.collections for name in known.names if name}
        gone = user.used_names - possible
        self.require(not gone & self.listed, f"dropped or renamed, and there: {sorted(gone & self.listed)}")

    def alias(self, alias: str, targets: list[str | None]) -> None:
        # A listing, because describing an alias that is absent is an error like any other.
        owners = [name for name in self.listed if alias in self.aliases_of(name)]
        owner = owners[0] if owners else None
        self.require(len(owners) <= 1 and owner in targets, f"alias {alias} is of {owners}, not of {targets}")

    def aliases_of(self, name: str) -> list[str]:
        if not hasattr(self, "_aliases"):
            self._aliases: dict[str, list[str]] = {}
        if name not in self._aliases:
            self._aliases[name] = self.client.list_aliases(name)
        return self._aliases[name]

    def databases(self, users: list[Naming]) -> None:
        there = set(self.client.list_databases())
        known = {name: states for user in users for name, states in user.databases.items()}
        for name, states in known.items():
            self.require((name in there) in states, f"database {name}: there is {name in there}, not {states}")
        strange = there - set(known) - {"default"}
        self.require(not strange, f"databases that nobody made: {sorted(strange)}")

    def rows(self, table: Table) -> None:
        seen = self.client.query(table.name, "id >= 0")
        doubtful_delete = {key for keys in table.doubtful_deletes for key in keys}
        doubtful_insert = {key for keys in table.doubtful_inserts for key in keys}
        lost = table.certain - seen
        self.require(not lost, f"{table.name}: rows lost: {sorted(lost)[:20]}")
        back = table.gone & seen
        self.require(not back, f"{table.name}: deleted rows are there: {sorted(back)[:20]}")
        strange = seen - table.certain - table.gone - doubtful_insert - doubtful_delete
        self.require(not strange, f"{table.name}: rows that nobody inserted: {sorted(strange)[:20]}")
        if table.shards > 1:
            # Milvus writes a batch shard by shard: it has no whole there.
            return
        for batch in [*map(set, table.doubtful_inserts), *map(set, table.doubtful_deletes)]:
            part = batch & seen
            self.require(part in (set(), batch), f"{table.name}: {len(part)} of {len(batch)} rows of one call")
