"""Alerts, runbooks and dashboards speak of what the code measures, and of each other."""

import ast
import json
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

import grpc
import pytest
import yaml
from sources import ROOT, own_code

ALERTS = yaml.safe_load((ROOT / "charts/pismo/files/alerts.yaml").read_text())
DASHBOARDS = {path.stem: json.loads(path.read_text()) for path in ROOT.glob("charts/pismo/files/dashboards/*.json")}
RUNBOOKS = {path.stem: path.read_text() for path in ROOT.glob("docs/runbooks/Pismo*.md")}

_SAMPLES = {"Counter": ("_total",), "Gauge": ("",), "Histogram": ("_bucket", "_sum", "_count")}
_OF_EVERY_PROCESS = {"process_cpu_seconds_total", "process_resident_memory_bytes"}
_OF_THE_SCRAPER = frozenset({"job", "instance"})
_OF_THE_BACKUP = {"kube_cronjob_status_last_successful_time", "kube_cronjob_created"}
_METRIC = re.compile(r"\b(?:pismo|process|kube)_[a-z0-9_]+")
_SELECTOR = re.compile(rf"({_METRIC.pattern})(?:\{{([^}}]*)\}})?")
_MATCHER = re.compile(r'(\w+)(=~|!~|!=|=)"([^"]*)"')
_GROUPING = re.compile(r"\bby \(([^)]*)\)")

Rule = dict[str, Any]


@dataclass(frozen=True)
class Metric:
    """What one Counter, Gauge or Histogram of the code gives."""

    name: str
    samples: frozenset[str]
    labels: frozenset[str]


@cache
def metrics() -> tuple[Metric, ...]:
    return tuple(
        metric(node)
        for module in own_code()
        for node in ast.walk(module.tree)
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id in _SAMPLES
        and node.args
        and isinstance(node.args[0], ast.Constant)
    )


def metric(call: ast.Call) -> Metric:
    assert isinstance(call.func, ast.Name)
    name, labels = ast.literal_eval(call.args[0]), ast.literal_eval(call.args[2]) if len(call.args) > 2 else ()
    samples = frozenset(name + suffix for suffix in _SAMPLES[call.func.id])
    return Metric(name, samples, frozenset(labels) | ({"le"} if call.func.id == "Histogram" else set()))


def labels_of(sample: str) -> frozenset[str]:
    """The labels of a sample; KeyError if nothing in the code gives it."""
    if sample in _OF_EVERY_PROCESS:
        return _OF_THE_SCRAPER
    if sample in _OF_THE_BACKUP:
        return frozenset({"namespace", "cronjob"})
    found = {each: metric.labels for metric in metrics() for each in metric.samples}
    return found[sample] | _OF_THE_SCRAPER


def rules() -> list[Rule]:
    return [rule for group in ALERTS["groups"] for rule in group["rules"]]


def panels() -> Iterator[tuple[str, Rule]]:
    for dashboard in DASHBOARDS.values():
        for panel in dashboard["panels"]:
            if panel["type"] != "row":
                yield f"{dashboard['title']}: {panel['title']}", panel


def expressions() -> dict[str, list[str]]:
    """Every expression by where it stands."""
    found = {rule["alert"]: [rule["expr"]] for rule in rules()}
    found |= {where: [target["expr"] for target in panel["targets"]] for where, panel in panels()}
    return found


of_every_place = pytest.mark.parametrize("where", expressions())
of_every_rule = pytest.mark.parametrize("rule", rules(), ids=lambda rule: rule["alert"])


def test_there_is_something_to_watch_over() -> None:
    assert len(rules()) > 10
    assert DASHBOARDS.keys() == {"people", "system"}
    assert {"pismo_rpc_served", "pismo_service_ready"} <= {metric.name for metric in metrics()}


@of_every_place
def test_what_is_watched_is_measured(where: str) -> None:
    known = {sample for metric in metrics() for sample in metric.samples} | _OF_EVERY_PROCESS | _OF_THE_BACKUP
    for expression in expressions()[where]:
        named = set(_METRIC.findall(expression))
        assert named, expression
        assert named <= known, named - known


@of_every_place
def test_what_is_chosen_and_grouped_by_is_a_label_of_the_metric(where: str) -> None:
    for expression in expressions()[where]:
        grouped: set[str] = set()
        for sample, matchers in _SELECTOR.findall(expression):
            chosen = {label for label, _, _ in _MATCHER.findall(matchers)}
            assert chosen <= labels_of(sample), f"{sample} has no {chosen - labels_of(sample)}"
            grouped |= labels_of(sample)
        asked = {label.strip() for group in _GROUPING.findall(expression) for label in group.split(",")}
        assert asked <= grouped, f"nothing in {expression} has {asked - grouped}"


@of_every_place
def test_a_value_that_is_chosen_is_one_that_the_code_gives(where: str) -> None:
    given = {str(string.value) for module in own_code() for string in module.strings()}
    given |= {code.name for code in grpc.StatusCode}
    for expression in expressions()[where]:
        for label, _, values in _MATCHER.findall(expression):
            if label not in ("job", "cronjob"):
                assert set(values.split("|")) <= given, f"{label}={values}"


@of_every_place
def test_only_this_release_is_watched(where: str) -> None:
    job = "pismo" if where in {rule["alert"] for rule in rules()} else "$job"
    for expression in expressions()[where]:
        for sample, matchers in _SELECTOR.findall(expression):
            own = ("cronjob", "=", "pismo-backup") if sample in _OF_THE_BACKUP else ("job", "=", job)
            assert own in _MATCHER.findall(matchers), f"{sample} of any job"


def test_nothing_is_measured_that_nobody_looks_at() -> None:
    watched = set(_METRIC.findall(" ".join(each for found in expressions().values() for each in found)))
    assert not [metric.name for metric in metrics() if not metric.samples & watched]


@of_every_rule
def test_an_alert_says_how_bad_it_is_what_it_is_and_where_to_read_on(rule: Rule) -> None:
    assert rule["labels"]["severity"] in {"critical", "warning"}
    assert rule["annotations"]["summary"]
    assert rule["annotations"]["runbook"] == f"docs/runbooks/{rule['alert']}.md"


@of_every_rule
def test_every_alert_has_a_runbook_that_says_four_things(rule: Rule) -> None:
    lines = RUNBOOKS[rule["alert"]].splitlines()
    assert lines[0] == f"# {rule['alert']}"
    headings = [line.removeprefix("## ") for line in lines if line.startswith("## ")]
    assert headings == ["What people see", "Look", "Do", "It is over when"]


def test_every_runbook_has_an_alert() -> None:
    names = Counter(rule["alert"] for rule in rules())
    assert set(names) == set(RUNBOOKS)
    assert max(names.values()) == 1


def test_each_dashboard_is_told_from_the_other_and_every_panel_from_the_next() -> None:
    uids = [dashboard["uid"] for dashboard in DASHBOARDS.values()]
    assert len(set(uids)) == len(uids)
    assert all(uid.startswith("pismo-") for uid in uids)
    for dashboard in DASHBOARDS.values():
        ids = [panel["id"] for panel in dashboard["panels"]]
        assert len(set(ids)) == len(ids)


def test_dashboards_ask_the_prometheus_that_is_chosen_in_them() -> None:
    for where, panel in panels():
        assert all(target["datasource"]["uid"] == "${source}" for target in panel["targets"]), where
