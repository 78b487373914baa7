"""The project's own code, for tests that read it."""

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class Service:
    """One of the services, as its folder says."""

    name: str
    """Of the package, the schema and the protos."""
    folder: Path
    package: Path


@dataclass(frozen=True)
class Module:
    """A module and its syntax tree."""

    path: Path
    tree: ast.Module

    @property
    def where(self) -> str:
        return str(self.path.relative_to(ROOT))

    def strings(self) -> Iterator[ast.Constant]:
        """Every string but docstrings."""
        documentation = {
            id(node.value) for node in ast.walk(self.tree) if isinstance(node, ast.Expr)
        }  # a string on a line of its own says something to the reader only
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in documentation:
                yield node


@cache
def services() -> tuple[Service, ...]:
    packages = sorted(path.parent for path in ROOT.glob("services/*/src/*/__init__.py"))
    return tuple(Service(package.name, package.parents[1], package) for package in packages)


@cache
def modules(folder: Path) -> tuple[Module, ...]:
    """Every module below a folder."""
    return tuple(Module(path, ast.parse(path.read_text())) for path in sorted(folder.rglob("*.py")))


@cache
def own_code() -> tuple[Module, ...]:
    """All that runs, tests and generated code aside."""
    folders = [
        ROOT / "libs/servicekit/src",
        *(each.package for each in services()),
        ROOT / "sandbox/src",
        ROOT / "stack",
    ]
    return tuple(module for folder in folders for module in modules(folder))


def names_called(tree: ast.AST) -> set[str]:
    """What is called in a tree, by last name: `stub.Reserve(…)` calls Reserve."""
    called = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            called.add(_last_name(node.func))
        elif isinstance(node, ast.Raise) and node.exc is not None:
            called.add(_last_name(node.exc))
    return called


def names_used(tree: ast.AST) -> set[str]:
    """The last names of all that is read in a tree: `stub.Reserve` uses Reserve, called or passed on."""
    return {
        _last_name(node)
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute | ast.Name) and isinstance(node.ctx, ast.Load)
    }


def _last_name(node: ast.expr) -> str:
    if isinstance(node, ast.Attribute):
        return node.attr
    return node.id if isinstance(node, ast.Name) else ""
