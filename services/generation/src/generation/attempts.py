"""What becomes of a version after an attempt to write it: rules alone."""

from dataclasses import dataclass, field

from generation.letters import Failure

BACKOFF_SECONDS = (2.0, 5.0, 10.0)
"""Before the second, third and fourth attempt. The fourth failure is the last."""
_SHORTEST_WAIT_SECONDS = 1.0
_LONGEST_WAIT_SECONDS = 15.0


@dataclass(frozen=True)
class Text:
    """It has its text."""

    text: str = field(repr=False)
    model: str


@dataclass(frozen=True)
class Later:
    """It goes back into the queue for so many seconds; `failed` says whether that counts as a failure."""

    seconds: float
    failed: bool


@dataclass(frozen=True)
class GivenUp:
    """It has failed for good."""

    reason: Failure


Outcome = Text | Later | GivenUp


def after_failure(failures_before: int, reason: Failure = Failure.MODELS_FAILED) -> Later | GivenUp:
    """After an attempt in which models were called and none gave a text that may be delivered."""
    if failures_before >= len(BACKOFF_SECONDS):
        return GivenUp(reason)
    return Later(BACKOFF_SECONDS[failures_before], failed=True)


def after_waiting(retry_after_seconds: float, chance: float) -> Later:
    """After an attempt in which every model was held back and none was called: it waits and nothing is counted.

    `chance`, 0 to 1, spreads the wait by half, so that all who wait do not come back in the same moment.
    """
    seconds = min(_LONGEST_WAIT_SECONDS, max(_SHORTEST_WAIT_SECONDS, retry_after_seconds))
    return Later(seconds * (1 + chance / 2), failed=False)
