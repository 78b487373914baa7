"""The rules of letters that need nothing else."""

import pytest
from generation.allowance import settled_by_refusal
from generation.attempts import BACKOFF_SECONDS, GivenUp, Later, after_failure, after_waiting
from generation.letters import Failure, State, eta_seconds, next_revision, revisions_left


@pytest.mark.parametrize(
    ("version", "state", "number", "left"),
    [
        (0, State.DRAFT, 1, 3),
        (0, State.WRITING, 1, 3),
        (0, State.COMPLETED, 1, 3),
        (0, State.FAILED, 1, 0),
        (0, State.CANCELLED, 1, 0),
        (1, State.QUEUED, 2, 2),
        (1, State.COMPLETED, 2, 2),
        (1, State.FAILED, 1, 3),
        (2, State.CANCELLED, 2, 2),
        (3, State.WRITING, 4, 0),
        (3, State.FAILED, 3, 1),
        (3, State.COMPLETED, 4, 0),
    ],
)
def test_only_a_completed_revision_uses_up_a_number(version: int, state: State, number: int, left: int) -> None:
    assert (next_revision(version, state), revisions_left(version, state)) == (number, left)


@pytest.mark.parametrize(
    ("position", "writing", "mean", "seconds"), [(1, 0, 10.0, 0), (5, 8, 0.0, 0), (1, 8, 4.0, 1), (80, 8, 12.0, 120)]
)
def test_an_eta_is_the_place_in_the_queue_by_the_rate_at_which_slots_come_free(
    position: int, writing: int, mean: float, seconds: int
) -> None:
    assert eta_seconds(position, writing, mean) == seconds


def test_four_failures_end_a_letter_and_the_first_three_pause_longer_each() -> None:
    assert [after_failure(failures) for failures in range(4)] == [
        Later(2.0, failed=True),
        Later(5.0, failed=True),
        Later(10.0, failed=True),
        GivenUp(Failure.MODELS_FAILED),
    ]
    assert len(BACKOFF_SECONDS) == 3


@pytest.mark.parametrize(("asked", "shortest", "longest"), [(0.0, 1.0, 1.5), (6.0, 6.0, 9.0), (900.0, 15.0, 22.5)])
def test_waiting_for_a_model_counts_nothing_and_stays_within_bounds(
    asked: float, shortest: float, longest: float
) -> None:
    assert after_waiting(asked, 0.0) == Later(shortest, failed=False)
    assert after_waiting(asked, 1.0) == Later(longest, failed=False)


@pytest.mark.parametrize(
    ("wanted", "reason", "state", "settlement"),
    [
        ("commit", "RESERVATION_RESOLVED", "released", "gift"),
        ("commit", "RESERVATION_RESOLVED", "committed", "committed"),
        ("release", "RESERVATION_RESOLVED", "committed", "committed"),
        ("release", "RESERVATION_RESOLVED", "released", "released"),
        ("commit", "RESERVATION_NOT_FOUND", "", "lost"),
        ("release", "RESERVATION_NOT_FOUND", "", "lost"),
        ("commit", "IDEMPOTENCY_MISMATCH", "", None),
        ("release", "", "", None),
    ],
)
def test_what_billings_refusal_means(wanted: str, reason: str, state: str, settlement: str | None) -> None:
    assert settled_by_refusal("commit" if wanted == "commit" else "release", reason, state) == settlement
