"""Users at work until told to stop, and the verdict on what they were told.

Prints one JSON object a line: {"event": "ready"} when all are at work; one object per
call with id, op, object, begin, end (seconds of the monotonic clock), outcome and text;
{"violation": ...} for what must never be; {"event": "verdict", ...} at the end. Ends
with 0 if there was no violation.
"""

import argparse
import logging
import os
import sys
import threading
import time
import traceback

from bed.client import Client
from bed.journal import Journal
from bed.naming import Naming
from bed.report import report
from bed.rows import Reader, Table, Writer
from bed.verify import Verification

# How often the file that says stop is looked for.
LOOK = 0.1


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--uri", required=True, help="http://host:port of the proxy")
    parser.add_argument("--stop-file", required=True, help="its existence ends the work")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--naming", type=int, default=4, help="how many users create and drop")
    parser.add_argument("--tables", type=int, default=2, help="how many collections get rows")
    parser.add_argument("--timeout", type=int, default=60, help="seconds that one call may take")
    options = parser.parse_args()
    # Failed calls are in the journal.
    logging.disable(logging.CRITICAL)

    journal, stop = Journal(), threading.Event()
    connect = lambda: Client(options.uri, options.timeout)  # noqa: E731
    seeds = iter(range(options.seed * 1000, options.seed * 1000 + 1000))
    tables = [Table(f"t{number}", 1 + number % 2) for number in range(options.tables)]
    writers = [Writer(table, connect(), journal, stop, next(seeds)) for table in tables]
    for writer in writers:
        writer.prepare()
    readers = [Reader(table, connect(), journal, stop, next(seeds)) for table in tables]
    users = [Naming(number, connect(), journal, stop, next(seeds)) for number in range(options.naming)]

    journal.begin = time.monotonic()
    threads = [*writers, *readers, *users]
    for thread in threads:
        thread.start()
    report(event="ready", threads=len(threads))
    while not os.path.exists(options.stop_file):
        time.sleep(LOOK)
    stop.set()
    end = time.monotonic()
    for thread in threads:
        # One turn has several calls, each of which may take its time.
        thread.join(options.timeout * 5)
        if thread.is_alive():
            journal.violation(f"{thread.name} does not end")
    report(event="stopped")

    operations = journal.table(end)
    verification = Verification(connect(), journal)
    try:
        verification.all(users, tables)
    except Exception as error:  # noqa: BLE001
        traceback.print_exc()
        journal.violation(f"the verification failed: {type(error).__name__}: {error}")
    report(
        event="verdict",
        holds=not journal.violations,
        seconds=round(end - journal.begin, 3),
        checks=verification.checks,
        operations=operations,
        violations=journal.violations[:50],
    )
    return 1 if journal.violations else 0


if __name__ == "__main__":
    sys.exit(main())
