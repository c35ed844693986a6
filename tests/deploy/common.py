"""What the checks of the deployment share: running programs, and saying what can't be checked."""

import os
import subprocess
from pathlib import Path

try:
    import yaml
except ImportError:
    yaml = None

ROOT = Path(__file__).resolve().parents[2]


class Skip(Exception):
    """This can't be checked here."""


def finished(command, environment=None):
    environment = {**os.environ, **(environment or {})}
    return subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, timeout=60)


def run(command, environment=None, fails=False):
    """What the command prints; `fails`: it must fail, and what it complains about."""
    done = finished(command, environment)
    assert (done.returncode != 0) == fails, f"{command} ended with {done.returncode}:\n{done.stdout}{done.stderr}"
    return done.stderr if fails else done.stdout


def needs_yaml():
    if yaml is None:
        raise Skip("kubernetes-validate and PyYAML are not installed")


def needs(variable, what):
    """The program that run.sh has found."""
    if variable not in os.environ:
        raise Skip(f"there is no {what}")
    return os.environ[variable]
