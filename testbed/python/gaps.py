"""Users of four kinds who call without a pause, so that it shows how long none of a kind
is served.

    ddl     creates a collection, drops it, creates the next one
    insert  one row into a collection that nobody reads
    search  with consistency level Strong, in a loaded collection that nobody changes
    flush   one row and the flush that makes it safe

Each has a connection of its own. Prints one JSON object a line: {"event": "ready"} when all
are at work, then one object per call with op, begin, end (seconds of the monotonic clock),
outcome and text. Ends with 0 when told to stop.
"""

import argparse
import logging
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator

from bed.client import Client
from bed.journal import MISSING, Journal
from bed.report import report

# How often the file that says stop is looked for.
LOOK = 0.1

# After a call that failed: some fail at once, as long as rootcoord is not there.
AFTER_FAILURE = 0.05

ROWS = 200


def ddl(client: Client) -> Iterator[Callable[[], object]]:
    number = 0
    while True:
        number += 1
        name = f"gaps_ddl_{number}"
        yield lambda: client.create_collection(name, 1)
        yield lambda: client.drop_collection(name)


def insert(client: Client) -> Iterator[Callable[[], object]]:
    key = 0
    client.create_collection("gaps_insert", 1)
    while True:
        key += 1
        yield lambda: client.insert("gaps_insert", range(key, key + 1))


def search(client: Client) -> Iterator[Callable[[], object]]:
    client.create_collection("gaps_search", 1)
    client.insert("gaps_search", range(ROWS))
    client.create_index("gaps_search")
    client.load("gaps_search")

    def nearest(key: int) -> None:
        found = client.nearest("gaps_search", key)
        if found != key:
            raise AssertionError(f"nearest to {key} is {found}")

    key = 0
    while True:
        key = (key + 1) % ROWS
        yield lambda: nearest(key)


def flush(client: Client) -> Iterator[Callable[[], object]]:
    client.create_collection("gaps_flush", 1)

    def one(key: int) -> None:
        client.insert("gaps_flush", range(key, key + 1))
        client.flush("gaps_flush")

    key = 0
    while True:
        key += 1
        yield lambda: one(key)


KINDS = {"ddl": ddl, "insert": insert, "search": search, "flush": flush}


class User(threading.Thread):
    """One of a kind. What its calls need is made with it, before it starts."""

    def __init__(self, kind: str, client: Client, journal: Journal, stop: threading.Event) -> None:
        super().__init__(name=kind, daemon=True)
        self.kind, self.journal, self.stopped = kind, journal, stop
        self.calls = KINDS[kind](client)
        self.first = next(self.calls)

    def run(self) -> None:
        call = self.first
        while not self.stopped.is_set():
            if self.journal.call(self.kind, "", call) is MISSING:
                self.stopped.wait(AFTER_FAILURE)
            call = next(self.calls)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--uri", required=True, help="http://host:port of the proxy")
    parser.add_argument("--stop-file", required=True, help="its existence ends the work")
    parser.add_argument("--timeout", type=int, default=120, help="seconds that one call may take")
    options = parser.parse_args()
    # Failed calls are reported.
    logging.disable(logging.CRITICAL)

    journal, stop = Journal(), threading.Event()
    users = [User(kind, Client(options.uri, options.timeout), journal, stop) for kind in KINDS]
    for user in users:
        user.start()
    report(event="ready")
    while not os.path.exists(options.stop_file):
        time.sleep(LOOK)
    stop.set()
    for user in users:
        user.join(options.timeout)
    return 0


if __name__ == "__main__":
    sys.exit(main())
