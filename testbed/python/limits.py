"""Inserts into a collection until it is told what is expected, then ends with 0.

Prints one JSON object: what it was told, and after how many seconds.
"""

import argparse
import sys
import time

from pymilvus import Collection, CollectionSchema, MilvusException, connections, utility

from bed.client import SCHEMA, vector
from bed.report import report

NAME = "limited"
LIMIT_SECONDS = 120
ATTEMPT_SECONDS = 3
ROWS = 500


def collection(schema: CollectionSchema, megabytes: str | None) -> Collection:
    """The collection, with that limit if there is one; `None` leaves the last one."""
    made = Collection(NAME) if utility.has_collection(NAME) else Collection(NAME, schema, shards_num=1)
    if megabytes is not None:
        made.set_properties({"collection.insertRate.max.mb": megabytes})
    return made


def insert(into: Collection, first: int) -> str:
    """What is told of it: `ok`, or the words of the error."""
    keys = range(first, first + ROWS)
    try:
        into.insert([list(keys), [vector(key) for key in keys]], timeout=ATTEMPT_SECONDS, retry_on_rate_limit=False)
    except MilvusException as error:
        return str(error)
    return "ok"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--uri", required=True, help="http://host:port of the proxy")
    parser.add_argument("--megabytes", help="how much may be inserted per second from now on")
    parser.add_argument("--until", required=True, help="what the answer is to contain")
    parser.add_argument("--stop-file", help="of no use here: it ends by itself")
    arguments = parser.parse_args()
    connections.connect("default", uri=arguments.uri, timeout=60)
    into = collection(SCHEMA, arguments.megabytes)
    begin = time.monotonic()
    told = ""
    attempt = 0
    while time.monotonic() - begin < LIMIT_SECONDS:
        told = insert(into, attempt * ROWS)
        attempt += 1
        if arguments.until in told:
            report(told=told, seconds=round(time.monotonic() - begin, 3))
            return 0
    report(told=told, expected=arguments.until)
    return 1


if __name__ == "__main__":
    sys.exit(main())
