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
import time

from bed.client import Client
from bed.report import report
from bed.users import Users

# How often the file that says stop is looked for.
LOOK = 0.1

# A turn of a user has at most so many calls.
CALLS_A_TURN = 10


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

    users = Users(
        lambda: Client(options.uri, options.timeout), options.naming, options.tables, options.seed
    )
    users.start()
    report(event="ready", threads=len(users.threads))
    while not os.path.exists(options.stop_file):
        time.sleep(LOOK)
    verdict = users.finish(options.timeout * CALLS_A_TURN)
    report(event="verdict", **verdict)
    return 0 if verdict["holds"] else 1


if __name__ == "__main__":
    sys.exit(main())
