"""The protos say what there is, no more and no less: nothing broken, nothing drifted, nothing dead."""

import ast
import os
import subprocess
from importlib import import_module
from pathlib import Path

import pytest
from google.protobuf.descriptor import FileDescriptor
from pismo.analytics.v1 import analytics_pb2
from sources import ROOT, Module, Service, modules, names_called, names_used, own_code, services

SERVICE_FILES = sorted(ROOT.glob("protos/pismo/*/v1/*_service.proto"))
REASONED = [each for each in services() if (ROOT / f"protos/pismo/{each.name}/v1/{each.name}.proto").exists()]


def described(path: str) -> FileDescriptor:
    """The descriptor of a proto, by its path below protos/."""
    descriptor: FileDescriptor = import_module(path.removesuffix(".proto").replace("/", ".") + "_pb2").DESCRIPTOR
    return descriptor


def reasons(path: str) -> set[str]:
    """The error reasons that a proto lists, but the one that is never sent."""
    enum = described(path).enum_types_by_name.get("ErrorReason")
    return set(enum.values_by_name) - {"ERROR_REASON_UNSPECIFIED"} if enum else set()


def test_protos_are_clean_unbroken_and_generated_anew() -> None:
    plain = {name: value for name, value in os.environ.items() if name not in {"MAKEFLAGS", "MAKELEVEL", "MFLAGS"}}
    # What is installed stays as it is: a test is no moment to change it.
    make = ["make", "--old-file=.venv/.installed", "protos-check"]
    made = subprocess.run(make, cwd=ROOT, env=plain, capture_output=True, text=True, check=False)
    assert made.returncode == 0, made.stdout + made.stderr


@pytest.mark.parametrize("path", SERVICE_FILES, ids=lambda path: path.stem)
def test_every_rpc_is_called_by_something(path: Path) -> None:
    used = {name for module in own_code() for name in names_used(module.tree)}
    for service in described(str(path.relative_to(ROOT / "protos"))).services_by_name.values():
        assert {method.name for method in service.methods} <= used


@pytest.mark.parametrize("service", REASONED, ids=lambda service: service.name)
def test_every_error_reason_of_a_service_is_raised_through_its_table(service: Service) -> None:
    """A reason stands in the table beside its domain error, and the error is raised somewhere in the service."""
    (errors,) = [module for module in modules(service.package) if module.path == service.package / "errors.py"]
    answers = {
        ast.unparse(key): node.attr
        for table in ast.walk(errors.tree)
        if isinstance(table, ast.Dict)
        for key, value in zip(table.keys, table.values, strict=True)
        if key is not None
        for node in ast.walk(value)
        if isinstance(node, ast.Attribute) and node.attr.startswith("ERROR_REASON_")
    }
    assert set(answers.values()) == reasons(f"pismo/{service.name}/v1/{service.name}.proto")
    raised = {name for module in modules(service.package) for name in names_called(module.tree)}
    assert {error for error in answers if error not in raised} == set()


def test_every_error_reason_of_all_services_is_answered_by_the_chassis() -> None:
    used = {name for module in modules(ROOT / "libs/servicekit/src") for name in names_used(module.tree)}
    assert reasons("pismo/rpc/v1/rpc.proto") <= used


def test_every_event_of_the_catalogue_is_sent() -> None:
    facts = analytics_pb2.Event.DESCRIPTOR.oneofs_by_name["fact"].fields
    made = {name for module in own_code() for name in facts_made(module)}
    assert {fact.name for fact in facts if fact.message_type is None or fact.message_type.name not in made} == set()


def facts_made(module: Module) -> set[str]:
    """The messages of the catalogue that a module takes up, however it imports them."""
    imported = {
        alias.asname or alias.name: alias.name
        for node in ast.walk(module.tree)
        if isinstance(node, ast.ImportFrom) and node.module == analytics_pb2.__name__
        for alias in node.names
    }
    read = {
        ast.unparse(node)
        for node in ast.walk(module.tree)
        if isinstance(node, ast.Attribute | ast.Name) and isinstance(node.ctx, ast.Load)
    }
    through_module = {name.removeprefix("analytics_pb2.") for name in read if name.startswith("analytics_pb2.")}
    return through_module | {message for name, message in imported.items() if name in read}
