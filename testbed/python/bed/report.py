"""What a program tells its caller: one JSON object a line on standard output."""

import json
import sys
import threading

_lock = threading.Lock()


def report(**fields: object) -> None:
    """Writes one object; callable from any thread."""
    line = json.dumps(fields, default=str)
    with _lock:
        sys.stdout.write(line + "\n")
        sys.stdout.flush()
