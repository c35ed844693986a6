"""Checks the alerts and the dashboard: they ask for what milvus-coord has, and mean what they say."""

import contextlib
import json
import os
import re
import socket
import subprocess
import tempfile
import time
import urllib.parse
import urllib.request
from pathlib import Path

from common import ROOT, needs, needs_yaml, run, yaml

ALERTS = ROOT / "docker" / "monitoring" / "alerts.yaml"
DASHBOARD = ROOT / "docker" / "monitoring" / "dashboard.json"
EXAMPLES = ROOT / "tests" / "deploy" / "alerts_test.yaml"
TELEMETRY = ROOT / "src" / "telemetry"
PROMETHEUS = ROOT / "docker" / "monitoring" / "prometheus.yaml"
# What Prometheus adds to every series.
TARGET_LABELS = {"job", "instance", "namespace"}
SUFFIXES = {"_bucket": {"le"}, "_sum": set(), "_count": set()}
PATIENCE = 30


# ---- what is asked for ----------------------------------------------------------------------


def alerts():
    needs_yaml()
    return [rule for group in yaml.safe_load(ALERTS.read_text())["groups"] for rule in group["rules"]]


def panels():
    return json.loads(DASHBOARD.read_text())["panels"]


def queries():
    """Every expression of both files."""
    yield from (rule["expr"] for rule in alerts())
    dashboard = json.loads(DASHBOARD.read_text())
    yield from (annotation["expr"] for annotation in dashboard["annotations"]["list"])
    for panel in panels():
        yield from (target["expr"] for target in panel.get("targets", []))


def selections(expression):
    """The own metrics that an expression selects, each with its matchers: label and value."""
    for name, matchers in re.findall(r"\b((?:milvus|process)_\w+)(?:\{([^}]*)\})?", expression):
        yield name, re.findall(r'(\w+)\s*(?:=~|!~|!=|=)\s*"([^"]*)"', matchers)


def families():
    """The list of names in the source: kind and labels of each."""
    text = (TELEMETRY / "metrics" / "names.rs").read_text()
    found = re.findall(r'= (Counter|Gauge|Histogram)(?:\(\w+\))?, "(\w+)" \[([^\]]*)\]', text)
    assert len(found) > 40, "the list of names is written in another way now"
    return {name: (kind, set(re.findall(r'"(\w+)"', labels))) for kind, name, labels in found}


def family_of(series, known):
    """The family that a series belongs to, and the labels that the series can have."""
    if series in known and known[series][0] != "Histogram":
        return series, known[series][1]
    for suffix, more in SUFFIXES.items():
        name = series.removesuffix(suffix)
        if name != series and known.get(name, ("",))[0] == "Histogram":
            return name, known[name][1] | more
    raise AssertionError(f"no metric has this name: {series}")


def is_scraped_as(job):
    """Whether alerts that look at a job see one of that name."""
    selectors = set(re.findall(r'job=~"([^"]*)"', ALERTS.read_text()))
    return all(re.fullmatch(selector, job) for selector in selectors)


# ---- the tests --------------------------------------------------------------------------------


def monitoring_asks_for_metrics_that_exist():
    known = families()
    words = set(re.findall(r'"([^"]*)"', "".join(file.read_text() for file in TELEMETRY.rglob("*.rs"))))
    for expression in queries():
        for name, matchers in selections(expression):
            _, labels = family_of(name, known)
            for label, value in matchers:
                assert label in labels | TARGET_LABELS, f"{name} has no label {label}: {expression}"
                if label in labels:
                    assert set(value.split("|")) <= words, f"{label} is never {value}: {expression}"
        grouped = re.findall(r"\b(?:by|on|ignoring|without)\s*\(([^)]*)\)", expression)
        named = {label.strip() for group in grouped for label in group.split(",")}
        every = TARGET_LABELS.union({"le"}, *(labels for _, labels in known.values()))
        assert named <= every, f"{named - every} is no label: {expression}"


def monitoring_finds_its_metrics_at_an_active_process():
    known = families()
    with Pair() as pair:
        text = pair.wait(pair.start(), "active")
    exposed = dict(re.findall(r"^# TYPE (\w+) (\w+)$", text, re.MULTILINE))
    for name, kind in exposed.items():
        assert known[name][0].lower() == kind, f"{name} is a {kind}"
    for expression in queries():
        for name, _ in selections(expression):
            family, _ = family_of(name, known)
            # Those with labels have series only once there is something to count.
            assert family in exposed or known[family][1], f"{family} is not exposed"


def monitoring_alerts_are_valid_rules():
    run([needs("DEPLOY_PROMTOOL", "promtool"), "check", "rules", str(ALERTS)])


def monitoring_alerts_fire_when_they_should():
    promtool = needs("DEPLOY_PROMTOOL", "promtool")
    run([promtool, "test", "rules", str(EXAMPLES)])
    tested = set(re.findall(r'alertname="(\w+)"', EXAMPLES.read_text()))
    assert tested == {rule["alert"] for rule in alerts()}, "an alert without an example"


def monitoring_alerts_say_what_to_do():
    for rule in alerts():
        assert rule["alert"].startswith("MilvusCoord")
        assert rule["labels"]["severity"] in ["critical", "warning", "info"], rule["alert"]
        assert set(rule["annotations"]) == {"summary", "description"}, rule["alert"]
    names = [rule["alert"] for rule in alerts()]
    assert len(names) == len(set(names))


def monitoring_alerts_see_every_job_of_ours():
    assert is_scraped_as("rootcoord")
    assert not is_scraped_as("my-rootcoordinator")


def monitoring_dashboard_has_queries_that_prometheus_takes():
    needs_yaml()
    numbers = [panel["id"] for panel in panels()]
    assert len(numbers) == len(set(numbers))
    rules = []
    for panel in panels():
        assert panel["type"] == "row" or panel["targets"], panel["title"]
        for target in panel.get("targets", []):
            rules.append({"record": f"panel:{panel['id']}:{target['refId']}", "expr": shown(target)})
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "rules.yaml"
        file.write_text(yaml.safe_dump({"groups": [{"name": "dashboard", "rules": rules}]}))
        run([needs("DEPLOY_PROMTOOL", "promtool"), "check", "rules", str(file)])


def monitoring_prometheus_shows_a_takeover_in_every_panel():
    prometheus = needs("DEPLOY_PROMETHEUS", "prometheus")
    needs_yaml()
    with Pair() as pair:
        old = pair.start()
        pair.wait(old, "active")
        new = pair.start()
        pair.wait(new, "standby")
        ask = pair.prometheus(prometheus, [old, new])
        # The alert of a takeover sees every fifteenth second only.
        seen = "count_over_time(max by (job) (milvus_coord_epoch)[1m:15s])"
        eventually(lambda: ask("query", query=seen)["result"], "the first term is seen")
        old.process.kill()
        pair.wait(new, "active")

        shown_queries = [(panel, shown(target)) for panel in panels() for target in panel.get("targets", [])]
        empty = lambda: {panel["title"] for panel, query in shown_queries if not ask("query", query=query)["result"]}
        # Nobody calls or changes the schema, and there is no message queue.
        starts = ("Calls that", "Schema requests", "Requests to etcd", "Size of values", "Time ticks", "Sending")
        unexpected = lambda: {title for title in empty() if not title.startswith(starts)}
        eventually(lambda: not unexpected(), lambda: f"empty: {unexpected()}")
        states = lambda: {alert["labels"]["alertname"]: alert["state"] for alert in ask("alerts")["alerts"]}
        wanted = {"MilvusCoordTakeover": "firing", "MilvusCoordDown": "pending", "MilvusCoordNoStandby": "pending"}
        eventually(lambda: states() == wanted, lambda: f"{states()} instead of {wanted}")


def shown(target):
    """What Grafana asks Prometheus for a panel's target."""
    expression = target["expr"].replace("$__rate_interval", "10s").replace("$__range", "1h")
    return expression.replace("$namespace", ".*").replace("$job", "rootcoord")


# ---- processes to look at -------------------------------------------------------------------------


def free_ports(count):
    held = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [listener.getsockname()[1] for listener in held]
    for listener in held:
        listener.close()
    return ports


def eventually(is_so, what):
    until = time.monotonic() + PATIENCE
    while not is_so():
        assert time.monotonic() < until, what() if callable(what) else f"not in time: {what}"
        time.sleep(0.1)


class Instance:
    def __init__(self, process, http):
        self.process, self.http = process, http

    def metrics(self):
        try:
            return fetched(f"http://127.0.0.1:{self.http}/metrics")
        except OSError:
            return ""


class Pair(contextlib.ExitStack):
    """Rootcoords on an etcd of their own; all end with it."""

    def __enter__(self):
        self.binary = needs("DEPLOY_BINARY", "milvus-coord that was built")
        etcd = needs("DEPLOY_ETCD", "etcd")
        self.folder = self.enter_context(tempfile.TemporaryDirectory())
        self.log = self.enter_context(open(f"{self.folder}/log", "a+"))
        client, peer = free_ports(2)
        self.etcd, address = f"127.0.0.1:{client}", f"http://127.0.0.1:{client}"
        addresses = ["--listen-client-urls", address, "--advertise-client-urls", address]
        self.run([etcd, "--data-dir", f"{self.folder}/etcd", *addresses, "--listen-peer-urls", f"http://127.0.0.1:{peer}"])
        return self

    def run(self, command, environment=None):
        environment = {**os.environ, **(environment or {})}
        process = subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log)

        def end():
            process.kill()
            process.wait()

        self.callback(end)
        return process

    def start(self):
        port, http = free_ports(2)
        settings = {
            "ETCD_ENDPOINTS": self.etcd,
            "MILVUSCONF": self.folder,
            "METRICS_PORT": str(http),
            "ROOTCOORD_IP": "127.0.0.1",
            "ROOTCOORD_PORT": str(port),
            "ROOTCOORD_ACTIVESTANDBY_RUNDIRECTORY": self.folder,
            "ROOT_COORD_ENABLE_ACTIVE_STANDBY": "true",
        }
        return Instance(self.run([self.binary, "run", "rootcoord"], settings), http)

    def wait(self, instance, phase):
        """What it exposes once it is in that phase."""

        def complaint():
            self.log.seek(0)
            return f"it does not become {phase}:\n{self.log.read()}"

        eventually(lambda: f'milvus_coord_phase{{phase="{phase}"}} 1' in instance.metrics(), complaint)
        return instance.metrics()

    def prometheus(self, program, instances):
        """One that asks these, with our file but quicker; returns how it is asked."""
        port = free_ports(1)[0]
        settings = yaml.safe_load(PROMETHEUS.read_text())
        settings["global"] = {"scrape_interval": "1s", "evaluation_interval": "1s"}
        settings["scrape_configs"][0]["static_configs"][0]["targets"] = [f"127.0.0.1:{each.http}" for each in instances]
        settings["rule_files"] = [str(ALERTS)]
        file = Path(self.folder) / "prometheus.yml"
        file.write_text(yaml.safe_dump(settings))
        storage = [f"--storage.tsdb.path={self.folder}/prometheus", f"--web.listen-address=127.0.0.1:{port}"]
        self.run([program, f"--config.file={file}", *storage])

        def ask(what, **question):
            url = f"http://127.0.0.1:{port}/api/v1/{what}?{urllib.parse.urlencode(question)}"
            answer = json.loads(fetched(url))
            assert answer["status"] == "success", answer
            return answer["data"]

        def answers():
            with contextlib.suppress(OSError):
                return ask("status/runtimeinfo")

        eventually(answers, "Prometheus answers")
        return ask


def fetched(url):
    with urllib.request.urlopen(url, timeout=5) as answer:
        return answer.read().decode()
