"""All users of one run, from their first call to the verdict."""

import threading
import time
import traceback
from collections.abc import Callable

from .client import Client
from .journal import Journal
from .naming import Naming
from .report import report
from .rows import Reader, Table, Writer
from .verify import Verification


class Users:
    """Threads at work between `start` and `finish`."""

    def __init__(self, connect: Callable[[], Client], naming: int, tables: int, seed: int) -> None:
        self.connect = connect
        self.journal = Journal()
        self.stop = threading.Event()
        seeds = iter(range(seed * 1000, seed * 1000 + 1000))
        shared = lambda: (connect(), self.journal, self.stop, next(seeds))  # noqa: E731
        # Rows of one call are together in collections of one shard only; see the verification.
        self.tables = [Table(f"t{number}", 1 + number % 2) for number in range(tables)]
        self.writers = [Writer(table, *shared()) for table in self.tables]
        self.naming = [Naming(number, *shared()) for number in range(naming)]
        readers = [Reader(table, *shared()) for table in self.tables]
        self.threads = [*self.writers, *readers, *self.naming]

    def start(self) -> None:
        for writer in self.writers:
            writer.prepare()
        self.journal.begin = time.monotonic()
        for thread in self.threads:
            thread.start()

    def finish(self, patience: float) -> dict:
        """Ends the work, waits up to so many seconds for each thread, and checks."""
        self.stop.set()
        end = time.monotonic()
        for thread in self.threads:
            thread.join(patience)
            if thread.is_alive():
                self.journal.violation(f"{thread.name} does not end")
        report(event="stopped")
        operations = self.journal.table(end)
        verification = Verification(self.connect(), self.journal)
        try:
            verification.all(self.naming, self.tables)
        except Exception as error:  # noqa: BLE001: whatever it is, nothing is shown to hold
            traceback.print_exc()
            self.journal.violation(f"the verification failed: {type(error).__name__}: {error}")
        return {
            "holds": not self.journal.violations,
            "seconds": round(end - self.journal.begin, 3),
            "checks": verification.checks,
            "operations": operations,
            "failures": dict(self.journal.failures.most_common(20)),
            "violations": self.journal.violations[:50],
        }
