"""Time is the machine's, moved by what the offset file says, and by nothing else."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from servicekit.clock import SystemClock

SECOND = timedelta(seconds=1)


def offset(clock: SystemClock) -> timedelta:
    return clock.now() - datetime.now(UTC)


def test_without_a_file_it_is_the_machines_time() -> None:
    assert abs(offset(SystemClock())) < SECOND


def test_the_file_is_read_anew_each_second(tmp_path: Path) -> None:
    file, ticks = tmp_path / "offset", [0.0]
    clock = SystemClock(file, monotonic=lambda: ticks[0])
    assert abs(offset(clock)) < SECOND
    file.write_text("3456000\n")
    ticks[0] = 0.9
    assert abs(offset(clock)) < SECOND
    ticks[0] = 1.0
    assert abs(offset(clock) - timedelta(days=40)) < SECOND
    file.unlink()
    ticks[0] = 2.0
    assert abs(offset(clock)) < SECOND


@pytest.mark.parametrize("content", ["", "soon", "1e300", "nan"])
def test_a_file_that_says_nothing_moves_nothing(tmp_path: Path, content: str) -> None:
    (tmp_path / "offset").write_text(content)
    assert abs(offset(SystemClock(tmp_path / "offset"))) < SECOND
