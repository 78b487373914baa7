"""The views as text for a terminal. Pure."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal


@dataclass(frozen=True)
class Table:
    """What a view shows."""

    name: str
    columns: tuple[str, ...]
    rows: Sequence[Sequence[object]]


def render(tables: Iterable[Table]) -> str:
    """Each table under its name, columns aligned, numbers to the right."""
    return "\n\n".join(_render(table) for table in tables)


def _render(table: Table) -> str:
    if not table.rows:
        return f"{table.name}\n  nothing yet"
    columns = list(zip(*table.rows, strict=True))
    to_the_right = [any(isinstance(value, int | Decimal) for value in column) for column in columns]
    lines = [table.columns, *([_text(value) for value in row] for row in table.rows)]
    widths = [max(map(len, texts)) for texts in zip(*lines, strict=True)]
    aligned = (
        "  ".join(
            text.rjust(width) if right else text.ljust(width)
            for text, width, right in zip(line, widths, to_the_right, strict=True)
        ).rstrip()
        for line in lines
    )
    return "\n  ".join([table.name, *aligned])


def _text(value: object) -> str:
    return "–" if value is None else str(value)
