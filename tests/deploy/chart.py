"""The chart as helm renders it; needs no cluster."""

import os
import subprocess

import yaml
from sources import ROOT

CHART = ROOT / "charts/pismo"
HELM = os.environ.get("HELM", "helm")
KUBERNETES_VERSION = "1.34"

SERVICES = yaml.safe_load((CHART / "files/services.yaml").read_text())
CALL_TABLE = yaml.safe_load((CHART / "files/call-table.yaml").read_text())
VALUES_FILES = sorted((CHART / "ci").glob("*.yaml"))
EVERY_VALUES_FILE = [*VALUES_FILES, *sorted((ROOT / "k8s").glob("values-*.yaml"))]


def helm(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [HELM, *arguments, "--kube-version", KUBERNETES_VERSION]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def render(*arguments: str) -> str:
    done = helm("template", "pismo", str(CHART), "--namespace", "pismo", *arguments)
    assert not done.returncode, done.stderr
    return done.stdout


def complaint(*arguments: str) -> str:
    """What helm says when it refuses."""
    done = helm("template", "pismo", str(CHART), *arguments)
    assert done.returncode, "was not refused"
    return done.stderr
