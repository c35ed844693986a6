"""Every call to the cluster, written down with what was asked and what came of it.

The outcome is `ok`, `error` (an answer that says no) or `unknown` (no answer). After
either of the latter two the call may have been carried out, and may be so later.
"""

import collections
import itertools
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from pymilvus import MilvusException

from .report import report

MISSING = object()

# Reads of what was acknowledged, and writes into it. An answer that there is no such
# thing is a lie. (A drop or a rename may have been repeated on the way, after its success.)
NEEDS_ITS_SUBJECT = {
    "describe_collection",
    "list_partitions",
    "list_aliases",
    "create_partition",
    "create_alias",
    "insert",
    "delete",
    "flush",
    "query",
    "search",
}
ABSENT = ("not found", "not exist", "can't find")


@dataclass
class Counts:
    """What became of the calls of one kind."""

    ok: int = 0
    error: int = 0
    unknown: int = 0
    last_ok: float = 0.0
    longest_gap: float = 0.0


class Journal:
    """Shared by all threads."""

    def __init__(self) -> None:
        self.begin = time.monotonic()
        self._ids = itertools.count(1)
        self._lock = threading.Lock()
        self._kinds: dict[str, Counts] = {}
        self.violations: list[str] = []
        self.failures: collections.Counter[str] = collections.Counter()

    def call(self, op: str, subject: str, action: Callable[[], object]) -> object:
        """The result of the action; `MISSING` when it failed in whatever way."""
        number = next(self._ids)
        begin = time.monotonic()
        outcome, text, result = "ok", "", MISSING
        try:
            result = action()
        except MilvusException as error:
            # pymilvus puts the name of a gRPC code, or a method, where an answer has a number.
            outcome = "error" if isinstance(error.code, int) and "Retry" not in str(error) else "unknown"
            text = str(error)[:300]
        except Exception as error:  # noqa: BLE001: grpc has many, and each means the same here
            outcome, text = "unknown", f"{type(error).__name__}: {error}"[:300]
        end = time.monotonic()
        self._count(op, outcome, end, text)
        report(id=number, op=op, object=subject, begin=begin, end=end, outcome=outcome, text=text)
        if outcome == "error" and op in NEEDS_ITS_SUBJECT and any(word in text for word in ABSENT):
            self.violation(f"{op} of {subject}, which is there: {text}")
        return result

    def did(self, op: str, subject: str, action: Callable[[], object]) -> bool:
        """Whether the action was acknowledged."""
        return self.call(op, subject, action) is not MISSING

    def _count(self, op: str, outcome: str, end: float, text: str) -> None:
        with self._lock:
            if text:
                self.failures[f"{op}: {text[:120]}"] += 1
            counts = self._kinds.setdefault(op, Counts(last_ok=self.begin))
            setattr(counts, outcome, getattr(counts, outcome) + 1)
            if outcome == "ok":
                counts.longest_gap = max(counts.longest_gap, end - counts.last_ok)
                counts.last_ok = end

    def violation(self, text: str) -> None:
        """What must never be: it ends no thread, but decides the verdict."""
        with self._lock:
            self.violations.append(text)
        report(violation=text)

    def table(self, end: float) -> dict[str, dict]:
        """Counts and the longest time without an acknowledgement, by kind, up to `end`."""
        with self._lock:
            return {
                op: {
                    "ok": counts.ok,
                    "error": counts.error,
                    "unknown": counts.unknown,
                    "longest_gap": round(max(counts.longest_gap, end - counts.last_ok), 3),
                }
                for op, counts in sorted(self._kinds.items())
            }
