"""The fallback chain as the operator writes it: which models, in which order, within which bounds, at which price."""

from __future__ import annotations

import tomllib
from collections import Counter
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

Vendor = Literal["openai", "anthropic", "offline"]
Region = Literal["home", "abroad"]

_Seconds = Annotated[float, Field(gt=0, le=600)]
_Count = Annotated[int, Field(ge=1)]
_Price = Annotated[int, Field(ge=0)]


class ChainFileError(ValueError):
    """The chain file cannot be used. `faults` holds every fault, each naming its entry and field."""

    def __init__(self, source: str, faults: list[str]) -> None:
        super().__init__(f"{source}: " + "; ".join(faults))
        self.faults = faults


class _Strict(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)


class Timeouts(_Strict):
    """How long one call may take, in seconds."""

    connect_seconds: _Seconds = 5.0
    first_text_seconds: _Seconds = 15.0
    """From the start of the call to its first words."""
    pause_seconds: _Seconds = 10.0
    """Between one piece of text and the next."""
    whole_seconds: _Seconds = 120.0


class Entry(_Strict):
    """One model of the chain."""

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,39}$")]
    """Its name in logs, counters and Redis keys; unique in the chain."""
    vendor: Vendor
    model: Annotated[str, Field(min_length=1, max_length=100)]
    """The vendor's own name of it."""
    region: Region
    """Where it runs. `abroad` is only for people who agreed to that."""
    temperature: Annotated[float, Field(ge=0, le=2)] | None = None
    """Not sent unless given: newer models refuse it."""
    max_output_tokens: _Count = 3000
    requests_per_minute: _Count | None = None
    """Together in all pods; not bounded unless given."""
    tokens_per_minute: _Count | None = None
    """The same for tokens, read and written, as estimated before the call."""
    concurrency: _Count = 200
    """Calls at once in one process."""
    prompt_micro_usd_per_million: _Price = 0
    """The price of a million tokens read, in millionths of a US dollar."""
    completion_micro_usd_per_million: _Price = 0
    """The price of a million tokens written, in millionths of a US dollar."""
    timeouts: Timeouts = Timeouts()

    @model_validator(mode="after")
    def _offline_is_home(self) -> Self:
        if self.vendor == "offline" and (self.region != "home" or self.temperature is not None):
            raise ValueError("the offline writer runs at home and has no temperature")
        return self

    def cost_micro_usd(self, prompt_tokens: int, completion_tokens: int) -> int:
        """What a call costs, in millionths of a US dollar, rounded up."""
        millionths = (
            prompt_tokens * self.prompt_micro_usd_per_million
            + completion_tokens * self.completion_micro_usd_per_million
        )
        return -(-millionths // 1_000_000)


class _ChainFile(_Strict):
    models: Annotated[list[Entry], Field(min_length=1)]


OFFLINE = Entry(name="offline", vendor="offline", model="offline", region="home", concurrency=10_000)


def read_chain(path: Path | None = None) -> tuple[Entry, ...]:
    """The chain in `path`, or the one that ships. A file without an offline entry gets one at its end.

    Raises ChainFileError with every fault at once.
    """
    if path is None:
        return parse_chain((resources.files("generation") / "model_chain.toml").read_text("utf-8"), "model_chain.toml")
    try:
        text = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ChainFileError(str(path), [f"cannot be read: {type(error).__name__}"]) from None
    return parse_chain(text, str(path))


def parse_chain(text: str, source: str) -> tuple[Entry, ...]:
    """The chain written in `text`; `source` names it in faults. Raises ChainFileError with every fault at once."""
    try:
        raw = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ChainFileError(source, [f"is not TOML: {error}"]) from None
    faults = [f"two models are named {name!r}" for name in _repeated_names(raw)]
    try:
        entries = _ChainFile.model_validate(raw).models
    except ValidationError as error:
        faults += [
            f"{_place(raw, fault['loc'])}: {fault['msg']}"
            for fault in error.errors(include_url=False, include_input=False, include_context=False)
        ]
    if faults:
        raise ChainFileError(source, faults)
    if all(entry.vendor != "offline" for entry in entries):
        entries = [*entries, OFFLINE]
    return tuple(entries)


def _named(raw: dict[str, Any]) -> list[Any]:
    """The name of each entry as written, None where there is none that could be one."""
    models = raw.get("models")
    if not isinstance(models, list):
        return []
    return [entry.get("name") if isinstance(entry, dict) else None for entry in models]


def _repeated_names(raw: dict[str, Any]) -> list[str]:
    return [name for name, times in Counter(n for n in _named(raw) if isinstance(n, str)).items() if times > 1]


def _place(raw: dict[str, Any], location: tuple[int | str, ...]) -> str:
    """Where a fault is, in the operator's words: `models[1] "openai-main" timeouts.pause_seconds`."""
    match location:
        case ("models", int(index), *fields):
            name = _named(raw)[index]
            return " ".join(
                part for part in (f"models[{index}]", f'"{name}"' if name else "", ".".join(map(str, fields))) if part
            )
        case _:
            return ".".join(map(str, location)) or "file"
