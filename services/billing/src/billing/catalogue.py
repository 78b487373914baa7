"""The plan catalogue as the operator writes it: what each plan gives, and what it costs."""

import tomllib
from collections import Counter
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Self
from zoneinfo import ZoneInfo

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from billing.windows import WindowKind

FREE = "free"
"""The plan of everyone who has no subscription."""

_Count = Annotated[int, Field(ge=0, le=1_000_000, strict=True)]
_Currency = Annotated[str, Field(pattern=r"^[A-Z]{3}$")]
_MinorUnits = Annotated[int, Field(ge=1, le=1_000_000_000, strict=True)]


class CatalogueError(ValueError):
    """The catalogue cannot be used. `faults` holds every fault, each naming its plan and field."""

    def __init__(self, source: str, faults: list[str]) -> None:
        super().__init__(f"{source}: " + "; ".join(faults))
        self.faults = faults


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Plan(_Strict):
    """What a plan gives and costs."""

    id: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,63}$")]
    limit: _Count
    """Letters in one window."""
    window: WindowKind
    priority: _Count
    """The place of its letters in the queue; higher goes first."""
    period_days: Annotated[int, Field(ge=1, le=366, strict=True)] | None = None
    """How long one payment lasts; None for a plan that is not sold."""
    prices: dict[_Currency, _MinorUnits] = {}
    """What one period costs, in minor units by ISO 4217 currency; XTR are Telegram Stars."""

    @model_validator(mode="after")
    def _a_price_is_for_a_period(self) -> Self:
        if (self.period_days is None) != (not self.prices):
            raise ValueError("period_days and prices go together")
        return self


class Catalogue(_Strict):
    """All plans, and the time zone by whose midnights their windows renew."""

    time_zone: str = "Europe/Moscow"
    plans: Annotated[tuple[Plan, ...], Field(min_length=1)]

    @property
    def zone(self) -> ZoneInfo:
        return ZoneInfo(self.time_zone)


def read_catalogue(path: Path | None = None) -> Catalogue:
    """The catalogue in `path`, or the one that ships. Raises CatalogueError with every fault at once."""
    if path is None:
        return parse_catalogue((resources.files("billing") / "plans.toml").read_text("utf-8"), "plans.toml")
    try:
        text = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise CatalogueError(str(path), [f"cannot be read: {type(error).__name__}"]) from None
    return parse_catalogue(text, str(path))


def parse_catalogue(text: str, source: str) -> Catalogue:
    """The catalogue written in `text`; `source` names it in faults. Raises CatalogueError with every fault at once."""
    try:
        raw = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise CatalogueError(source, [f"is not TOML: {error}"]) from None
    faults = []
    names = _names(raw)
    try:
        catalogue = Catalogue.model_validate(raw)
    except ValidationError as error:
        faults += [
            f"{_place(names, fault['loc'])}: {fault['msg']}"
            for fault in error.errors(include_url=False, include_input=False, include_context=False)
        ]
    faults += [f'plan "{name}" id: is there {times} times' for name, times in Counter(names).items() if times > 1]
    if FREE not in names:
        faults.append(f'plan "{FREE}": is missing, and it is what everyone without a subscription has')
    zone = raw.get("time_zone")
    if isinstance(zone, str) and not _is_zone(zone):
        faults.append(f'time_zone: "{zone}" is not a name of the IANA time zone database, such as Europe/Moscow')
    if faults:
        raise CatalogueError(source, faults)
    return catalogue


def _is_zone(name: str) -> bool:
    try:
        ZoneInfo(name)
    except (LookupError, ValueError, OSError):
        return False
    return True


def _names(raw: dict[str, Any]) -> list[str]:
    """The id of each plan as written; its number in the file where it has none."""
    plans = raw.get("plans")
    entries = plans if isinstance(plans, list) else []
    return [
        str(entry["id"]) if isinstance(entry, dict) and "id" in entry else f"#{number}"
        for number, entry in enumerate(entries, start=1)
    ]


def _place(names: list[str], location: tuple[int | str, ...]) -> str:
    """Where a fault is, in the operator's words: `plan "premium" prices.USD`."""
    match location:
        case ("plans", int(index), *fields):
            return " ".join(part for part in (f'plan "{names[index]}"', ".".join(map(str, fields))) if part)
        case _:
            return ".".join(map(str, location))
