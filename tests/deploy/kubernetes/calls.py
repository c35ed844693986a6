"""Calls rootcoord all the time until standard input ends, then prints what the callers saw.

Two kinds of callers work at once: `service`, who only know an address (a Kubernetes Service)
and hold on to their connection; and `session`, who find the ACTIVE instance by its session in
etcd, as Milvus's own processes do. Each kind takes timestamps, and creates and drops databases.

A call that fails is repeated for a while, as every client of Milvus does; it counts as failed
if it does not succeed within that, and each repetition is counted. Whoever repeats a change
whose answer was lost may hear that it has been made already: that is a success.
"""

import argparse
import base64
import json
import sys
import threading
import time
import urllib.request

import grpc
import milvus_pb2
import root_coord_pb2

# As Milvus's clients: the longest that one call is tried, and the first pause after a failure.
PATIENCE = 10.0
SESSION_PAUSE = 0.2
# A client without such a habit, which repeats soon.
SERVICE_PAUSE = 0.02
ATTEMPT = 5.0
TIMESTAMP_CALLERS = 3
PACE = 0.005


def rpc(channel, name, answer):
    return channel.unary_unary(
        f"/milvus.proto.rootcoord.RootCoord/{name}",
        request_serializer=lambda request: request.SerializeToString(),
        response_deserializer=answer.FromString,
    )


class Refused(Exception):
    """An answer that is an error."""


class Service:
    """Always the same address. One connection, which gRPC opens anew when it breaks."""

    kind, pause = "service", SERVICE_PAUSE

    def __init__(self, address):
        # Not shared with other callers of this process: it may lead to another instance.
        own = [("grpc.use_local_subchannel_pool", 1), ("grpc.initial_reconnect_backoff_ms", 50)]
        own += [("grpc.min_reconnect_backoff_ms", 50), ("grpc.max_reconnect_backoff_ms", 200)]
        self.connected = grpc.insecure_channel(address, own)

    def channel(self):
        return self.connected

    def failed(self):
        pass


class Session:
    """Whoever has the session key in etcd; looked up again after a failure."""

    kind, pause = "session", SESSION_PAUSE

    def __init__(self, etcd):
        self.etcd, self.connected = etcd, None

    def channel(self):
        if self.connected is None:
            key = base64.b64encode(b"by-dev/meta/session/rootcoord").decode()
            question = urllib.request.Request(f"http://{self.etcd}/v3/kv/range", json.dumps({"key": key}).encode())
            with urllib.request.urlopen(question, timeout=ATTEMPT) as answer:
                found = json.load(answer).get("kvs")
            if not found:
                raise Refused("nobody has the session key")
            address = json.loads(base64.b64decode(found[0]["value"]))["Address"]
            self.connected = grpc.insecure_channel(address, [("grpc.use_local_subchannel_pool", 1)])
        return self.connected

    def failed(self):
        if self.connected is not None:
            self.connected.close()
        self.connected = None


class Seen:
    """What callers of one kind saw."""

    def __init__(self):
        self.lock = threading.Lock()
        self.ends, self.slowest, self.repeated, self.failures, self.reasons = [], 0.0, 0, [], {}
        self.timestamps = []

    def succeeded(self, began, ended, timestamp=None):
        with self.lock:
            self.ends.append(ended)
            self.slowest = max(self.slowest, ended - began)
            if timestamp is not None:
                self.timestamps.append((began, ended, timestamp))

    def repeats(self, reason):
        with self.lock:
            self.repeated += 1
            self.reasons[reason] = self.reasons.get(reason, 0) + 1

    def failed(self, reason):
        with self.lock:
            self.failures.append(reason)

    def longest_gap(self):
        ends = sorted(self.ends)
        return max((later - earlier for earlier, later in zip(ends, ends[1:])), default=0.0)

    def disorder(self):
        """Pairs of timestamps that are the same, or whose order contradicts that of the calls."""
        found, latest = 0, 0
        # In the order of their ends: whoever began after that end must have got more.
        ended = sorted((end, stamp) for _, end, stamp in self.timestamps)
        place = 0
        for began, _, stamp in sorted(self.timestamps):
            while place < len(ended) and ended[place][0] < began:
                latest = max(latest, ended[place][1])
                place += 1
            found += stamp <= latest
        return found + len(ended) - len({stamp for _, stamp in ended})


def reason_of(error):
    return f"{error.code().name}: {error.details()}" if isinstance(error, grpc.RpcError) else str(error)


# What somebody hears who repeats a change that was made.
MADE = {"CreateDatabase": "already exist", "DropDatabase": "not found"}


def call(target, seen, name, request, answer, status):
    """One call with its repetitions; what was answered, or None."""
    began, pause, unknown = time.monotonic(), target.pause, False
    while True:
        try:
            answered = rpc(target.channel(), name, answer)(request, timeout=ATTEMPT)
            refusal = status(answered)
            made = unknown and name in MADE and MADE[name] in refusal.reason
            if (refusal.error_code or refusal.code) and not made:
                raise Refused(refusal.reason)
            ended = time.monotonic()
            seen.succeeded(began, ended, getattr(answered, "timestamp", None))
            return answered
        except (grpc.RpcError, Refused, OSError) as error:
            target.failed()
            unknown = unknown or isinstance(error, grpc.RpcError)
            if time.monotonic() + pause - began > PATIENCE:
                seen.failed(f"{name}: {reason_of(error)}")
                return None
            seen.repeats(reason_of(error))
        time.sleep(pause)
        pause = min(pause * 2, 1.0)


def take_timestamps(target, seen, stop):
    request = root_coord_pb2.AllocTimestampRequest(count=1)
    while not stop.is_set():
        call(target, seen, "AllocTimestamp", request, root_coord_pb2.AllocTimestampResponse, lambda answer: answer.status)
        time.sleep(PACE)


def change_the_schema(target, seen, stop):
    import common_pb2

    number = 0
    while not stop.is_set():
        number += 1
        name = f"{target.kind}_{number}"
        for method, request in [
            ("CreateDatabase", milvus_pb2.CreateDatabaseRequest(db_name=name)),
            ("DropDatabase", milvus_pb2.DropDatabaseRequest(db_name=name)),
        ]:
            call(target, seen, method, request, common_pb2.Status, lambda answer: answer)
            time.sleep(PACE)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--service", required=True, help="host:port")
    parser.add_argument("--etcd", required=True, help="host:port")
    arguments = parser.parse_args()

    stop, threads, seen = threading.Event(), [], {}
    for make, address in [(Service, arguments.service), (Session, arguments.etcd)]:
        for what, work, callers in [("timestamps", take_timestamps, TIMESTAMP_CALLERS), ("schema", change_the_schema, 1)]:
            figures = seen[f"{make.kind} {what}"] = Seen()
            for _ in range(callers):
                threads.append(threading.Thread(target=work, args=(make(address), figures, stop), daemon=True))
    for thread in threads:
        thread.start()
    while not all(figures.ends for figures in seen.values()):
        time.sleep(0.05)
    print("READY", flush=True)
    sys.stdin.read()
    stop.set()
    for thread in threads:
        thread.join(PATIENCE + ATTEMPT)

    good = True
    print(f"{'callers':20} {'calls':>7} {'failed':>7} {'repeated':>9} {'longest gap':>12} {'slowest call':>13}")
    for name, figures in seen.items():
        gap, slowest = figures.longest_gap() * 1000, figures.slowest * 1000
        print(f"{name:20} {len(figures.ends):7} {len(figures.failures):7} {figures.repeated:9} {gap:9.0f} ms {slowest:10.0f} ms")
        for reason, times in figures.reasons.items():
            print(f"  repeated {times} times: {reason}")
        for reason in figures.failures[:5]:
            print(f"  FAILED {reason}")
        good = good and not figures.failures
    # All that got one asked the same cluster.
    everybody = Seen()
    everybody.timestamps = [stamp for figures in seen.values() for stamp in figures.timestamps]
    disorder = everybody.disorder()
    print(f"timestamps: {len(everybody.timestamps)}, out of order or twice: {disorder}")
    return 0 if good and not disorder else 1


if __name__ == "__main__":
    sys.exit(main())
