"""The house keeps its order: who reads it once finds everything again in the next service."""

import ast
import re
import tomllib
from collections.abc import Iterator

import pytest
from sources import ROOT, Module, Service, modules, names_used, own_code, services

EVERY_SERVICE_HAS = ("__init__", "__main__", "app", "settings", "errors", "store")
IT_SERVES_RPCS_WITH = ("servicer", "operations")

_SQL = re.compile(
    r"\s*(SELECT|INSERT INTO|UPDATE|DELETE FROM|WITH|BEGIN|COMMIT|LOCK|TRUNCATE|COPY|EXPLAIN|CREATE|ALTER|DROP|GRANT"
    r"|SET (LOCAL|TRANSACTION)|LISTEN|NOTIFY)\b"
)
_SAYS_NOTHING = re.compile(r"utils?|commons?|managers?|helpers?|misc|stuff")
_READS_THE_ENVIRONMENT = {
    # Each hands it on as a value, or reads what another specification names.
    "libs/servicekit/src/servicekit/settings.py",
    "libs/servicekit/src/servicekit/telemetry.py",
    "sandbox/src/sandbox/__main__.py",
}
_READS_THE_CLOCK = {"libs/servicekit/src/servicekit/clock.py", "sandbox/src/sandbox/clock.py"}

of_each_service = pytest.mark.parametrize("service", services(), ids=lambda service: service.name)


def of_services_and_sandbox() -> Iterator[Module]:
    for folder in (*(each.package for each in services()), ROOT / "sandbox/src"):
        yield from modules(folder)


def test_there_are_four_services() -> None:
    assert [service.name for service in services()] == ["analytics", "billing", "gateway", "generation"]


@of_each_service
def test_every_service_has_the_same_rooms(service: Service) -> None:
    wanted = {*EVERY_SERVICE_HAS, *(IT_SERVES_RPCS_WITH if serves_rpcs(service) else ())}
    assert wanted <= {path.stem for path in service.package.glob("*.py")}
    assert (service.folder / "README.md").read_text().strip()
    assert list((service.folder / "migrations").glob("0001_*.sql"))


def serves_rpcs(service: Service) -> bool:
    return any((ROOT / "protos/pismo" / service.name).rglob("*_service.proto"))


def test_sql_stands_in_the_store_of_a_service_only() -> None:
    found = [
        f"{module.where}:{string.lineno}"
        for module in of_services_and_sandbox()
        if module.path.name != "store.py"
        for string in module.strings()
        if _SQL.match(str(string.value))
    ]
    assert not found, f"SQL belongs into store.py or a migration: {found}"


def test_the_environment_is_read_by_settings_only() -> None:
    found = [
        f"{module.where}:{node.lineno}"
        for module in own_code()
        if not module.where.startswith("stack/") and module.where not in _READS_THE_ENVIRONMENT
        for node in ast.walk(module.tree)
        if (isinstance(node, ast.Attribute) and node.attr in {"environ", "environb", "getenv"})
        or (isinstance(node, ast.ImportFrom) and node.module == "os" and {"environ", "getenv"} & imported(node))
    ]
    assert not found, f"settings come from settings.py: {found}"


def test_time_is_given_not_taken() -> None:
    found = [
        f"{module.where}:{node.lineno}"
        for module in own_code()
        if not module.where.startswith("stack/") and module.where not in _READS_THE_CLOCK
        for node in ast.walk(module.tree)
        if (isinstance(node, ast.Call) and ast.unparse(node.func) in {"time.time", "time.time_ns"})
        or (isinstance(node, ast.Attribute) and node.attr in {"utcnow", "today"})
        or (isinstance(node, ast.Attribute) and ast.unparse(node) in {"datetime.now", "datetime.datetime.now"})
    ]  # fmt: skip
    assert not found, f"business time comes from the clock that is passed in: {found}"


def test_every_name_says_what_is_inside() -> None:
    found = [
        module.where
        for module in own_code()
        if any(_SAYS_NOTHING.fullmatch(part) for part in module.path.relative_to(ROOT).with_suffix("").parts)
    ]
    assert not found


def test_every_module_says_what_it_is() -> None:
    found = [module.where for module in own_code() if module.tree.body and not ast.get_docstring(module.tree)]
    assert not found


def test_a_module_that_calls_itself_pure_is_held_to_it() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    held = {
        name
        for contract in project["tool"]["importlinter"]["contracts"]
        if contract["name"].startswith("Rules are pure")
        for name in contract["source_modules"]
    }
    claiming = {
        ".".join(module.path.relative_to(each.package.parent).with_suffix("").parts)
        for each in services()
        for module in modules(each.package)
        if re.search(r"\bPure\b", ast.get_docstring(module.tree) or "")
    }
    assert claiming <= held


def test_no_service_holds_a_copy_of_anothers_work() -> None:
    homes: dict[str, set[str]] = {}
    for service in services():
        for module in modules(service.package):
            for node in ast.walk(module.tree):
                if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and worth_sharing(node):
                    body = "\n".join(map(ast.dump, node.body))
                    homes.setdefault(body, set()).add(f"{service.name}: {module.where}:{node.lineno} {node.name}")
    copied = [sorted(each) for each in homes.values() if len({home.partition(":")[0] for home in each}) > 1]
    assert not copied, f"what two services need belongs into servicekit: {copied}"


def worth_sharing(function: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    """More than a line or two, which are shorter than their import."""
    return sum(1 for statement in function.body for _ in ast.walk(statement)) > 40


def test_nothing_stands_there_unused() -> None:
    """By name: a function, method or class that no code but tests mentions is dead, or a test's own business."""
    used = {name for module in own_code() for name in names_used(module.tree)}
    found = [f"{module.where}:{node.lineno} {node.name}" for module in own_code() for node in own_words(module.tree)]
    unused = [each for each in found if each.rpartition(" ")[2] not in used]
    assert not unused, f"nothing calls these: {unused}"


def own_words(tree: ast.AST) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef]:
    """What a module defines for itself to call: not what a decorator hands out, nor what a base class asks for."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            if not node.decorator_list and not (node.name.startswith("__") and node.name.endswith("__")):
                yield node
            if isinstance(node, ast.ClassDef) and node.bases:
                continue
        yield from own_words(node)


def imported(node: ast.ImportFrom) -> set[str]:
    return {alias.name for alias in node.names}
