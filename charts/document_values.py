"""Turns charts/pismo/values.yaml, documented once, into values.schema.json, the known names and the README's table.

A value's comment is its description and its default tells its type. An empty map takes any keys; every other map takes
those it shows and no more, so that a misspelt value fails. The schema checks types; names are checked by
templates/check-values.yaml, which can say what is there instead, as a schema cannot.

    python charts/document_values.py          write all three
    python charts/document_values.py --check  exit 1 if any is not up to date
"""

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import yaml

CHART = Path(__file__).parent / "pismo"
BEGIN, END = "<!-- values: begin -->", "<!-- values: end -->"

_SCALARS = {"bool": "boolean", "int": "integer", "float": "number", "str": "string", "null": ["integer", "null"]}


def comments(text: str) -> dict[tuple[str, ...], str]:
    """The comment above each key (or at the end of its line), by the key's path."""
    found: dict[tuple[str, ...], str] = {}
    above: list[str] = []
    path: list[tuple[int, str]] = []
    for line in text.splitlines():
        stripped = line.strip()
        if stripped.startswith("#"):
            above.append(stripped.lstrip("# "))
            continue
        if match := re.match(r"(\s*)([A-Za-z][\w-]*):", line):
            indent = len(match[1])
            path = [*(each for each in path if each[0] < indent), (indent, match[2])]
            if above:
                found[tuple(name for _, name in path)] = " ".join(above)
        above = []
    return found


def takes_anything(node: yaml.MappingNode, path: tuple[str, ...]) -> bool:
    return not node.value or path[-1:] == ("resources",)  # whatever Kubernetes takes there


def known(node: yaml.Node, path: tuple[str, ...] = ()) -> dict[str, Any] | None:
    """The names that a map takes, with what is known of each. None for what is no map, or takes any name."""
    if not isinstance(node, yaml.MappingNode) or takes_anything(node, path):
        return None
    return {key.value: known(value, (*path, key.value)) for key, value in node.value}


def schema(node: yaml.Node, path: tuple[str, ...], notes: dict[tuple[str, ...], str]) -> dict[str, Any]:
    """The JSON schema of one value."""
    described: dict[str, Any] = {"description": notes[path]} if path in notes else {}
    if isinstance(node, yaml.MappingNode):
        if takes_anything(node, path):
            return {**described, "type": "object"}
        properties = {key.value: schema(value, (*path, key.value), notes) for key, value in node.value}
        return {**described, "type": "object", "properties": properties}
    if isinstance(node, yaml.SequenceNode):
        return {**described, "type": "array"}
    kind = _SCALARS[node.tag.rpartition(":")[2]]
    if kind == "integer":
        described["minimum"] = 0
    return {**described, "type": kind}


def rows(node: yaml.Node, path: tuple[str, ...], notes: dict[tuple[str, ...], str]) -> Iterator[str]:
    if isinstance(node, yaml.MappingNode) and node.value:
        if path in notes:
            yield f"| **{'.'.join(path)}** | | {notes[path]} |"
        for key, value in node.value:
            yield from rows(value, (*path, key.value), notes)
    else:
        default = json.dumps(yaml.safe_load(yaml.serialize(node)))
        yield f"| {'.'.join(path)} | `{default}` | {notes.get(path, '')} |"


def main() -> int:
    text = (CHART / "values.yaml").read_text()
    notes, root = comments(text), cast(yaml.Node, yaml.compose(text, Loader=yaml.SafeLoader))
    made_schema = {"$schema": "https://json-schema.org/draft-07/schema#", **schema(root, (), notes)}
    table = "\n".join(["| value | default | means |", "|---|---|---|", *rows(root, (), notes)])
    readme = (CHART / "README.md").read_text()
    before, _, rest = readme.partition(BEGIN)
    wanted = {
        CHART / "values.schema.json": json.dumps(made_schema, indent=2, ensure_ascii=False) + "\n",
        CHART / "files/known-values.yaml": "# Made by `make chart-docs` from values.yaml.\n"
        + yaml.safe_dump(known(root), sort_keys=False),
        CHART / "README.md": f"{before}{BEGIN}\n{table}\n{END}{rest.partition(END)[2]}",
    }
    stale = [path for path, content in wanted.items() if not path.exists() or path.read_text() != content]
    if "--check" in sys.argv:
        for path in stale:
            print(f"{path.relative_to(CHART.parent.parent)} is not what values.yaml says: run `make chart-docs`")
        return 1 if stale else 0
    for path in stale:
        path.write_text(wanted[path])
    return 0


if __name__ == "__main__":
    sys.exit(main())
