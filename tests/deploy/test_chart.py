"""The chart, rendered as its users would and read as a cluster would; needs helm, and no cluster."""

import json
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml
from deploy.chart import (
    CALL_TABLE,
    CHART,
    EVERY_VALUES_FILE,
    KUBERNETES_VERSION,
    SERVICES,
    VALUES_FILES,
    complaint,
    helm,
    render,
)
from sources import ROOT

HAS_OWN_SCHEMA = {"PodMonitor", "PrometheusRule", "ScaledObject", "TriggerAuthentication"}
"""Kinds of operators: Kubernetes itself has no schema for them."""

Object = dict[str, Any]

of_every_values_file = pytest.mark.parametrize("values", EVERY_VALUES_FILE, ids=lambda path: path.stem)


@cache
def objects(values: Path) -> list[Object]:
    return [each for each in yaml.safe_load_all(render("--values", str(values))) if each]


def of_kind(values: Path, *kinds: str) -> Iterator[Object]:
    yield from (each for each in objects(values) if each["kind"] in kinds)


def name(of: Object) -> str:
    return f"{of['kind']}/{of['metadata']['name']}"


def pods(values: Path) -> Iterator[tuple[str, Object]]:
    """Every pod spec with the name of what it belongs to."""
    for each in objects(values):
        match each["kind"]:
            case "Pod":
                yield name(each), each["spec"]
            case "Deployment" | "StatefulSet" | "Job":
                yield name(each), each["spec"]["template"]["spec"]
            case "CronJob":
                yield name(each), each["spec"]["jobTemplate"]["spec"]["template"]["spec"]


def containers(values: Path) -> Iterator[tuple[str, Object]]:
    for owner, spec in pods(values):
        for container in [*spec.get("initContainers", []), *spec["containers"]]:
            yield f"{owner}:{container['name']}", container


def test_there_are_values_to_render() -> None:
    assert {path.stem for path in VALUES_FILES} >= {"demo", "minimal", "tls", "ingress", "keda", "monitoring"}


@of_every_values_file
def test_kubernetes_knows_every_field(values: Path) -> None:
    checked = 0
    for each in objects(values):
        if each["kind"] not in HAS_OWN_SCHEMA:
            kubernetes_validate.validate(each, KUBERNETES_VERSION, strict=True)
            checked += 1
    assert checked > len(SERVICES)


@of_every_values_file
def test_helm_finds_nothing_to_warn_of(values: Path) -> None:
    done = helm("lint", "--strict", "--quiet", str(CHART), "--values", str(values))
    assert not done.returncode, done.stdout + done.stderr


@of_every_values_file
def test_no_two_objects_share_a_name(values: Path) -> None:
    names = [name(each) for each in objects(values)]
    assert len(names) == len(set(names))


@of_every_values_file
def test_every_pod_meets_pod_security_restricted(values: Path) -> None:
    for owner, spec in pods(values):
        security = spec["securityContext"]
        assert security["runAsNonRoot"] is True, owner
        assert security["runAsUser"] >= 10_000, f"{owner}: a uid below 10000 may be somebody's on the node"
        assert security["seccompProfile"] == {"type": "RuntimeDefault"}, owner
        assert not {"hostNetwork", "hostPID", "hostIPC"} & spec.keys(), owner
        kinds = {kind for volume in spec.get("volumes", []) for kind in volume.keys() - {"name"}}
        assert kinds <= {"configMap", "emptyDir", "secret", "projected", "persistentVolumeClaim"}, owner
    for owner, container in containers(values):
        security = container["securityContext"]
        assert security["allowPrivilegeEscalation"] is False, owner
        assert security["capabilities"] == {"drop": ["ALL"]}, owner
        assert not any("hostPort" in port for port in container.get("ports", [])), owner


@of_every_values_file
def test_nothing_can_write_into_its_image(values: Path) -> None:
    for owner, container in containers(values):
        assert container["securityContext"]["readOnlyRootFilesystem"] is True, owner


@of_every_values_file
def test_no_pod_holds_a_token_for_the_clusters_interface(values: Path) -> None:
    for owner, spec in pods(values):
        assert spec["automountServiceAccountToken"] is False, owner
    for each in of_kind(values, "ServiceAccount"):
        assert each["automountServiceAccountToken"] is False, name(each)
    assert not list(of_kind(values, "Role", "ClusterRole", "RoleBinding", "ClusterRoleBinding"))


@of_every_values_file
def test_every_image_says_which_version_it_is(values: Path) -> None:
    for owner, container in containers(values):
        tag = container["image"].rpartition("/")[2].partition(":")[2]
        assert tag, f"{owner}: {container['image']}"
        assert tag != "latest", owner


@of_every_values_file
def test_every_container_says_what_it_needs_and_has_a_bound_on_memory(values: Path) -> None:
    for owner, container in containers(values):
        assert {"cpu", "memory"} <= container["resources"]["requests"].keys(), owner
        assert "memory" in container["resources"]["limits"], owner


@of_every_values_file
def test_every_server_is_probed(values: Path) -> None:
    servers = 0
    for each in of_kind(values, "Deployment", "StatefulSet"):
        for container in each["spec"]["template"]["spec"]["containers"]:
            assert {"startupProbe", "readinessProbe", "livenessProbe"} <= container.keys(), name(each)
            servers += 1
    assert servers >= len(SERVICES)


@of_every_values_file
def test_a_pod_has_longer_to_go_than_its_service_takes(values: Path) -> None:
    for each in of_kind(values, "Deployment"):
        spec = each["spec"]["template"]["spec"]
        env = {entry["name"]: entry.get("value") for entry in spec["containers"][0]["env"]}
        needs = float(env["DRAIN_NOTICE_SECONDS"]) + float(env["DRAIN_SECONDS"])
        assert needs < spec["terminationGracePeriodSeconds"] == 90, name(each)


@of_every_values_file
def test_no_secret_stands_in_a_manifest_but_the_demos(values: Path) -> None:
    made = [name(each) for each in of_kind(values, "Secret")]
    assert bool(made) == (values.stem in ("demo", "values-dev")), made


@of_every_values_file
def test_calls_and_network_policies_say_the_same(values: Path) -> None:
    policies = {each["metadata"]["name"]: each["spec"] for each in of_kind(values, "NetworkPolicy")}
    assert policies["pismo-default-deny"]["policyTypes"] == ["Ingress", "Egress"]
    for service, facts in SERVICES.items():
        let_in = {
            component
            for rule in policies[f"pismo-{service}"].get("ingress") or []
            if {"port": facts["grpcPort"]} in rule["ports"]
            for peer in rule["from"]
            for expression in peer["podSelector"]["matchExpressions"]
            for component in expression["values"]
        }
        assert let_in - {"test"} == set(CALL_TABLE[service] or {}), service


@of_every_values_file
def test_every_pod_is_bound_by_a_policy_of_its_own(values: Path) -> None:
    bound = {
        each["spec"]["podSelector"]["matchLabels"].get("app.kubernetes.io/component")
        for each in of_kind(values, "NetworkPolicy")
    }
    for each in of_kind(values, "Deployment", "StatefulSet", "Job"):
        labels = each["spec"]["template"]["metadata"]["labels"]
        assert labels["app.kubernetes.io/component"] in bound, name(each)


@of_every_values_file
def test_each_service_scales_one_way(values: Path) -> None:
    scaled = [
        each["spec"]["scaleTargetRef"]["name"] for each in of_kind(values, "HorizontalPodAutoscaler", "ScaledObject")
    ]
    assert len(scaled) == len(set(scaled))
    for each in of_kind(values, "Deployment"):
        # A Deployment that names its replicas would be reset by every upgrade.
        assert ("replicas" in each["spec"]) != (each["metadata"]["name"] in scaled), name(each)


def test_rendering_twice_gives_the_same_so_that_an_upgrade_changes_nothing() -> None:
    values = str(CHART / "ci/external-stores.yaml")
    assert render("--values", values) == render("--values", values)


def test_a_migration_gets_a_new_name_with_a_new_image_only() -> None:
    def jobs(tag: str, **values: str) -> set[str]:
        given = [part for key, value in values.items() for part in ("--set", f"{key}={value}")]
        rendered = render("--values", str(CHART / "ci/minimal.yaml"), "--set-string", f"image.tag={tag}", *given)
        return {each["metadata"]["name"] for each in yaml.safe_load_all(rendered) if each and each["kind"] == "Job"}

    assert len(jobs("1")) == len(SERVICES)
    assert jobs("1") == jobs("1", scaleDownSeconds="60")
    assert not jobs("1") & jobs("2")


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        (
            ["generation.replica=3"],
            "generation.replica is not a value of this chart; generation takes: autoscaling,",
        ),
        (["demo.storage.sice=2Gi"], "demo.storage takes: className, size."),
        (["replicas=3"], "replicas is not a value of this chart; the top level takes: "),
        (["demo.enabled=maybe"], "got string, want boolean"),
        (["gateway.existingSecret="], "gateway.existingSecret is needed"),
        (["billing.migrationSecret="], "billing.migrationSecret is needed"),
        (["tls.existingSecrets.billing=one"], "a Secret for every service; missing: analytics, gateway, generation"),
        (["ingress.enabled=true", "ingress.tlsSecret=some"], "ingress.host is needed"),
    ],
)
def test_what_cannot_work_is_refused_with_a_sentence(given: list[str], sentence: str) -> None:
    arguments = [part for each in given for part in ("--set", each)]
    assert sentence in complaint("--values", str(CHART / "ci/minimal.yaml"), *arguments)


def test_the_charts_schema_and_readme_are_what_values_say() -> None:
    done = subprocess.run([sys.executable, "charts/document_values.py", "--check"], cwd=ROOT, check=False)
    assert not done.returncode


def test_every_value_has_a_place_where_it_counts() -> None:
    templates = "\n".join(path.read_text() for path in (CHART / "templates").rglob("*.*"))
    known = json.loads((CHART / "values.schema.json").read_text())["properties"]
    for section, schema in known.items():
        keys = schema.get("properties", {}) if section not in SERVICES else {}
        for key in keys:
            assert f".{key}" in templates or f'"{key}"' in templates or section == "tls", (
                f"{section}.{key} does nothing"
            )
