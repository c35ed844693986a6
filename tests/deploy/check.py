"""Checks the files by which milvus-coord is deployed, without deploying anything.

Each test is a function whose name is the promise. Prints what the test programs of this
project print; a test whose tool is missing is skipped, with the reason.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import traceback
from pathlib import Path

import monitoring
from common import ROOT, Skip, finished, needs, needs_yaml, run, yaml

COMPOSE = ROOT / "docker" / "compose.yaml"
WITH_PROMETHEUS = ROOT / "docker" / "monitoring" / "compose.yaml"
STACK = ROOT / "docker" / "swarm" / "stack.yaml"
CHART = ROOT / "docker" / "chart"
ETCD = ["--set", "externalEtcd.endpoints={etcd-0:2379,etcd-1:2379}"]
KAFKA = ["--set", "externalKafka.enabled=true,externalKafka.brokerList=kafka:9092"]
# The oldest that the chart admits, and a recent one.
KUBERNETES = ["1.25.0", "1.34.0"]
# Of the Prometheus operator, not of Kubernetes.
OPERATOR = ["ServiceMonitor", "PrometheusRule"]

try:
    import kubernetes_validate
except ImportError:
    kubernetes_validate = None


# ---- compose and Swarm ----------------------------------------------------------------------


def composed(*files, **environment):
    """The files as compose understands them, by every version of compose that is here."""
    needs_yaml()
    programs = json.loads(os.environ.get("DEPLOY_COMPOSE", "[]"))
    if not programs:
        raise Skip("there is neither docker-compose nor docker compose")
    for program in programs:
        named = [argument for file in files for argument in ("-f", str(file))]
        yield yaml.safe_load(run([*program, *named, "config"], environment))


def variables(service):
    """A service's environment; compose prints a mapping or a list."""
    found = service["environment"]
    return found if isinstance(found, dict) else dict(item.split("=", 1) for item in found)


def compose_starts_the_pair_with_the_queue_that_was_chosen():
    for queue, other in [("kafka", "pulsar"), ("pulsar", "kafka")]:
        for file in composed(COMPOSE, COMPOSE_PROFILES=queue):
            services = file["services"]
            assert {"etcd", queue, "rootcoord", "rootcoord-1"} <= set(services), sorted(services)
            assert other not in services or services[other]["profiles"] == [other]
            for name in ["rootcoord", "rootcoord-1"]:
                set_to = variables(services[name])
                assert set_to["MQ_TYPE"] == queue
                assert set_to["ROOT_COORD_ENABLE_ACTIVE_STANDBY"] == "true"
                assert services[name]["command"] == ["milvus", "run", "rootcoord"]


def compose_without_choice_takes_the_one_of_the_env_file():
    environment = {name: value for name, value in os.environ.items() if name != "COMPOSE_PROFILES"}
    assert "COMPOSE_PROFILES" not in environment
    for file in composed(COMPOSE):
        assert variables(file["services"]["rootcoord"])["MQ_TYPE"] == "kafka"


def mounted(service):
    """What a service finds where, by compose's short or long form."""
    found = {}
    for volume in service["volumes"]:
        if isinstance(volume, str):
            source, target = volume.split(":")[:2]
        else:
            source, target = volume["source"], volume["target"]
        found[target] = source
    return found


def compose_with_prometheus_loads_the_alerts():
    for file in composed(COMPOSE, WITH_PROMETHEUS):
        files = mounted(file["services"]["prometheus"])
        settings = yaml.safe_load(Path(files["/etc/prometheus/prometheus.yml"]).read_text())
        (rules,) = settings["rule_files"]
        assert Path(files[f"/etc/prometheus/{rules}"]).samefile(monitoring.ALERTS)
        (job,) = settings["scrape_configs"]
        asked = {target.split(":")[0] for target in job["static_configs"][0]["targets"]}
        assert job["job_name"] == "rootcoord" and asked == {"rootcoord", "rootcoord-1"}


def swarm_loads_the_alerts():
    for file in composed(STACK):
        targets = {item["target"]: item["source"] for item in file["services"]["prometheus"]["configs"]}
        settings, rules = (
            Path(file["configs"][targets[f"/etc/prometheus/{name}"]]["file"]) for name in ["prometheus.yml", "alerts.yaml"]
        )
        assert yaml.safe_load(settings.read_text())["rule_files"] == ["alerts.yaml"]
        assert rules.samefile(monitoring.ALERTS)


def swarm_keeps_the_two_apart_and_updates_one_after_the_other():
    for file in composed(STACK, ETCD_ENDPOINTS="etcd1:2379"):
        deploy = file["services"]["rootcoord"]["deploy"]
        assert deploy["replicas"] == 2
        assert deploy["placement"]["max_replicas_per_node"] == 1
        assert deploy["update_config"]["parallelism"] == 1
        assert deploy["update_config"]["order"] == "stop-first"
        assert deploy["endpoint_mode"] == "dnsrr"


# ---- the chart ------------------------------------------------------------------------------


def helm(*arguments, fails=False):
    return run([needs("DEPLOY_HELM", "helm"), *arguments], fails=fails)


def rendered(*arguments):
    """What the chart makes of these values, by kind and name."""
    needs_yaml()
    text = helm("template", "coord", str(CHART), *arguments)
    return {(item["kind"], item["metadata"]["name"]): item for item in yaml.safe_load_all(text) if item}


def container(objects, role="rootcoord"):
    deployment = objects["Deployment", f"coord-milvus-coord-{role}"]
    return deployment["spec"]["template"]["spec"]["containers"][0]


def chart_has_no_flaws():
    helm("lint", "--strict", str(CHART), *ETCD)


def chart_takes_the_image_of_this_version():
    manifest = (ROOT / "Cargo.toml").read_text()
    version = manifest.split('\nversion = "', 1)[1].split('"', 1)[0]
    assert container(rendered(*ETCD))["image"] == f"milvus-coord:{version}"


def chart_keeps_an_active_one_during_updates():
    objects = rendered(*ETCD)
    spec = objects["Deployment", "coord-milvus-coord-rootcoord"]["spec"]
    assert spec["replicas"] == 2
    assert spec["strategy"] == {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}}
    assert objects["PodDisruptionBudget", "coord-milvus-coord-rootcoord"]["spec"]["maxUnavailable"] == 1


def chart_never_runs_two_without_active_standby():
    alone = ["--set", "rootCoordinator.replicas=1,rootCoordinator.activeStandby.enabled=false"]
    objects = rendered(*ETCD, *alone)
    assert objects["Deployment", "coord-milvus-coord-rootcoord"]["spec"]["strategy"] == {"type": "Recreate"}
    two = ["--set", "rootCoordinator.activeStandby.enabled=false"]
    assert "more than one needs" in helm("template", "coord", str(CHART), *ETCD, *two, fails=True)


def chart_refuses_settings_that_lead_nowhere():
    refused = [
        ([], "externalEtcd.endpoints or existingConfigMap must be set"),
        ([*ETCD, "--set", "externalKafka.enabled=true"], "externalKafka.brokerList must be set"),
        ([*ETCD, *KAFKA, "--set", "externalPulsar.enabled=true,externalPulsar.host=pulsar"], "only one can be enabled"),
    ]
    for arguments, complaint in refused:
        said = helm("template", "coord", str(CHART), *arguments, fails=True)
        assert complaint in said, said


def chart_takes_the_values_of_the_guide_for_all_three_roles():
    guide = ROOT / "tests" / "deploy" / "values-guide.yaml"
    objects = rendered(*ETCD, "-f", str(guide))
    for role, variable in [("rootcoord", "ROOT_COORD"), ("datacoord", "DATA_COORD"), ("querycoord", "QUERY_COORD")]:
        assert objects["Deployment", f"coord-milvus-coord-{role}"]["spec"]["replicas"] == 2
        set_to = {item["name"]: item.get("value") for item in container(objects, role)["env"]}
        assert set_to[f"{variable}_ENABLE_ACTIVE_STANDBY"] == "true"
        assert container(objects, role)["args"] == ["milvus", "run", role]


def chart_beside_a_release_of_milvus_has_that_release_s_settings():
    objects = rendered("--set", "existingConfigMap=my-release-milvus")
    assert not [kind for kind, _ in objects if kind == "ConfigMap"]
    pod = objects["Deployment", "coord-milvus-coord-rootcoord"]["spec"]["template"]["spec"]
    assert {"name": "config", "configMap": {"name": "my-release-milvus"}} in pod["volumes"]


def chart_objects_are_valid():
    needs_yaml()
    if kubernetes_validate is None:
        raise Skip("kubernetes-validate is not installed")
    everything = ["-f", str(ROOT / "tests" / "deploy" / "values-everything.yaml")]
    for arguments in [[*ETCD, *KAFKA], everything, ["--set", "existingConfigMap=x"]]:
        for (kind, name), item in rendered(*arguments).items():
            if kind in OPERATOR:
                continue
            for version in KUBERNETES:
                try:
                    kubernetes_validate.validate(item, version, strict=True)
                except kubernetes_validate.ValidationError as error:
                    raise AssertionError(f"{kind} {name} on {version}: {error.message}") from error


def chart_brings_alerts_and_dashboard_to_those_who_want_them():
    everything = ["-f", str(ROOT / "tests" / "deploy" / "values-everything.yaml")]
    objects = rendered(*everything)
    groups = objects["PrometheusRule", "coord-milvus-coord"]["spec"]["groups"]
    expected = yaml.safe_load(monitoring.ALERTS.read_text())["groups"]
    for group in expected:
        group["rules"] = [rule for rule in group["rules"] if rule["alert"] != "MilvusCoordNoStandby"]
    assert groups == expected
    dashboard = objects["ConfigMap", "coord-milvus-coord-dashboard"]
    assert json.loads(dashboard["data"]["milvus-coord.json"]) == json.loads(monitoring.DASHBOARD.read_text())
    assert dashboard["metadata"]["labels"]["grafana_dashboard"] == "1"
    kinds = [kind for kind, _ in rendered(*ETCD)]
    assert "PrometheusRule" not in kinds and kinds.count("ConfigMap") == 1


def chart_names_the_job_as_the_alerts_expect():
    needs_yaml()
    # Without jobLabel the operator takes the name of the Service.
    objects = rendered("-f", str(ROOT / "tests" / "deploy" / "values-everything.yaml"))
    assert "jobLabel" not in objects["ServiceMonitor", "coord-milvus-coord"]["spec"]
    assert ("Service", "coord-milvus-coord-rootcoord") in objects
    assert monitoring.is_scraped_as("coord-milvus-coord-rootcoord")


def chart_writes_settings_that_milvus_coord_reads():
    binary = needs("DEPLOY_BINARY", "milvus-coord that was built")
    for arguments in [[*ETCD, *KAFKA], ["-f", str(ROOT / "tests" / "deploy" / "values-everything.yaml")]]:
        objects = rendered(*arguments)
        files = objects["ConfigMap", "coord-milvus-coord"]["data"]
        environment = {item["name"]: item.get("value", "x") for item in container(objects)["env"]}
        with tempfile.TemporaryDirectory() as folder:
            for name, text in files.items():
                (Path(folder) / name).write_text(text)
            checked = finished([binary, "config", "check", "--config", folder], environment)
        assert checked.returncode == 0 and "unknown key" not in checked.stderr, checked.stderr
        for expected in ["etcd-0:2379", "kafka:9092"]:
            assert expected in checked.stdout, checked.stdout


# ---- systemd and keepalived -----------------------------------------------------------------


def systemd_unit_has_no_flaws():
    """With its drop-in, and a binary where the unit expects it."""
    if not shutil.which("systemd-analyze"):
        raise Skip("there is no systemd-analyze")
    with tempfile.TemporaryDirectory() as folder:
        unit = Path(folder) / "milvus-coord@rootcoord.service"
        text = (ROOT / "docker" / "milvus-coord@.service").read_text()
        assert "/usr/local/bin/milvus-coord" in text
        unit.write_text(text.replace("/usr/local/bin/milvus-coord", "/bin/true"))
        drop_in = unit.with_suffix(".service.d") / "50-keepalived.conf"
        drop_in.parent.mkdir()
        text = (ROOT / "docker" / "keepalived" / "50-keepalived.conf").read_text()
        drop_in.write_text(text.replace("/usr/local/bin/vrrp-state", "/bin/true"))
        checked = finished(["systemd-analyze", "verify", "--man=no", str(unit)], {"SYSTEMD_UNIT_PATH": f"{folder}:"})
        # What it says of others' units is not about this one.
        flaws = [line for line in checked.stderr.splitlines() if "milvus-coord" in line or "50-keepalived" in line]
        assert not flaws, "\n".join(flaws)
        assert "Type=notify" in unit.read_text()


def keepalived_hooks_are_settings_of_milvus_coord():
    binary = os.environ.get("DEPLOY_BINARY")
    if not binary:
        raise Skip("milvus-coord has not been built")
    text = (ROOT / "docker" / "keepalived" / "50-keepalived.conf").read_text()
    lines = [line.removeprefix("Environment=") for line in text.splitlines() if line.startswith("Environment=")]
    environment = dict(line.split("=", 1) for line in lines)
    assert len(environment) == 4
    shown = run([binary, "config", "check"], environment)
    for hook in ["onActive", "onStandby", "onFault", "onStop"]:
        set_to = [line for line in shown.splitlines() if f"rootCoord.activeStandby.hooks.{hook}.command" in line]
        assert set_to and "/usr/local/bin/vrrp-state" in set_to[0], set_to


def keepalived_is_told_each_state_by_a_number():
    script = str(ROOT / "docker" / "keepalived" / "vrrp-state")
    with tempfile.TemporaryDirectory() as folder:
        state = Path(folder) / "rootcoord.vrrp"
        for word, number in [("active", 100), ("standby", 0), ("fault", -254), ("stop", -254)]:
            environment = {"MILVUS_COORD_VRRP": str(state), "MILVUS_COORD_STATE": word}
            run([script], environment)
            assert state.read_text() == f"{number}\n"
            state.unlink()
            run([script, word, "rootcoord"], environment)
            assert state.read_text() == f"{number}\n"
        assert os.listdir(folder) == ["rootcoord.vrrp"]


# ---- running them ---------------------------------------------------------------------------


def skip(name, reason):
    line = f"SKIPPED {name}: {reason}\n"
    assert os.environ.get("MILVUS_COORD_NO_SKIP") != "1", line
    sys.stderr.write(line)
    if "MILVUS_COORD_SKIPPED" in os.environ:
        with open(os.environ["MILVUS_COORD_SKIPPED"], "a") as skipped:
            skipped.write(line)


def main():
    found = [*globals().items(), *vars(monitoring).items()]
    kinds = ("compose_", "swarm_", "chart_", "systemd_", "keepalived_", "monitoring_")
    tests = [value for name, value in found if name.startswith(kinds)]
    failed = 0
    for test in tests:
        try:
            try:
                test()
            except Skip as reason:
                skip(test.__name__, reason)
            print(f"test {test.__name__} ... ok", flush=True)
        except Exception:
            failed += 1
            traceback.print_exc()
            print(f"test {test.__name__} ... FAILED", flush=True)
    word = "FAILED" if failed else "ok"
    print(f"\ntest result: {word}. {len(tests) - failed} passed; {failed} failed; 0 ignored; 0 measured; 0 filtered out")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
