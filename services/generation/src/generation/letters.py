"""A letter and its versions, as a person sees them: values and the rules that need nothing else."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from uuid import UUID

REVISIONS = 3
LETTER_TIME = timedelta(minutes=15)
"""How long a version has from queueing to its text. Its reservation at billing lives twice as long."""


class State(StrEnum):
    """Where a version stands."""

    DRAFT = "draft"
    QUEUED = "queued"
    WRITING = "writing"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def ended(self) -> bool:
        return self in (State.COMPLETED, State.FAILED, State.CANCELLED)


class Failure(StrEnum):
    """Why a version failed."""

    TIMED_OUT = "timed_out"
    MODELS_FAILED = "models_failed"
    INTERNAL = "internal"


@dataclass(frozen=True)
class Letter:
    """A letter at its newest version. `text` and `model` are those of `text_version`, the newest completed one."""

    letter_id: UUID
    state: State
    title: str = field(repr=False)
    version: int
    text: str = field(repr=False)
    text_version: int
    model: str
    liked: bool | None
    created_at: datetime

    @property
    def revisions_left(self) -> int:
        return revisions_left(self.version, self.state)


@dataclass(frozen=True)
class Queued:
    """Waiting: `position` counts from 1, `eta_seconds` is 0 when nobody knows."""

    position: int
    eta_seconds: int
    models_unavailable: bool


@dataclass(frozen=True)
class Writing:
    """Being written: the whole checked text so far."""

    text: str = field(repr=False)


@dataclass(frozen=True)
class Completed:
    """Has its text."""

    text: str = field(repr=False)
    model: str
    revisions_left: int


@dataclass(frozen=True)
class Failed:
    """Given up."""

    reason: Failure


@dataclass(frozen=True)
class Cancelled:
    """Stopped by the person."""


Look = Queued | Writing | Completed | Failed | Cancelled
"""One look at a version. Every look is whole."""


def next_revision(version: int, state: State) -> int:
    """The number that a new revision of a letter gets whose newest version is this one.

    Only completed revisions use up a number: one that failed or was stopped gives its own to the next.
    """
    return version if version > 0 and state in (State.FAILED, State.CANCELLED) else version + 1


def revisions_left(version: int, state: State) -> int:
    """How many more revisions may be asked for when this is the newest version; none of a letter without a text."""
    if version == 0 and state in (State.FAILED, State.CANCELLED):
        return 0
    return REVISIONS + 1 - next_revision(version, state)


def eta_seconds(position: int, writing: int, mean_seconds: float) -> int:
    """A guess of the wait until writing begins, 0 for none.

    While letters wait, every slot of every process is taken: `writing` slots each end a letter in `mean_seconds` on
    average, so the letter at `position` waits for that many ends.
    """
    if not writing or not mean_seconds:
        return 0
    return max(1, round(position * mean_seconds / writing))
