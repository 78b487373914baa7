"""Where backups are: in a folder, or with what speaks S3 (`stack.bucket`).

Either holds sets of files, `<kind>/<name>/<service>.dump`, and a set's name is the time of its backup.
"""

import fcntl
import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Protocol

_NAME = "%Y%m%dT%H%M%SZ"
_UNFINISHED = ".unfinished"


class DepotFault(Exception):
    """A depot cannot do what is asked of it; says which and why, and quotes no secret."""


class Depot(Protocol):
    """Sets of files; a set is there whole or not at all. Every method raises DepotFault and OSError.

    `str` of it is what its operator calls it.
    """

    def alone(self) -> AbstractContextManager[None]:
        """Hold this while the depot is written to. Where another backup would come to harm, it is refused."""

    def names(self, kind: str) -> list[str]:
        """The finished sets of a kind, oldest first."""

    def begin(self, kind: str, name: str) -> None:
        """Start a set that is not there yet, and clear away what ended halfway."""

    def write(self, kind: str, name: str, service: str, pieces: Iterable[bytes]) -> None:
        """Put a file into a set that was begun. `pieces` are taken one by one, as they are stored."""

    def finish(self, kind: str, name: str) -> None:
        """From now on the set is there. All that was written is safe by then."""

    def read(self, kind: str, name: str, service: str) -> AbstractContextManager[IO[bytes]]:
        """A file of a finished set, read as it is asked for."""

    def delete(self, kind: str, name: str) -> None:
        """The set goes, as a whole: nobody who is interrupted leaves a part of it that passes for one."""


def name_of(moment: datetime) -> str:
    """What a backup of that moment is called. Names sort by time."""
    return moment.astimezone(UTC).strftime(_NAME)


def time_of(name: str) -> datetime | None:
    """None for what is no backup's name."""
    try:
        return datetime.strptime(name, _NAME).replace(tzinfo=UTC)
    except ValueError:
        return None


@dataclass(frozen=True)
class Folder:
    """A set is a folder, which has its name once it is finished."""

    path: Path

    def __str__(self) -> str:
        return str(self.path)

    @contextmanager
    def alone(self) -> Iterator[None]:
        """The kernel lets go of the lock however its holder ends."""
        self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        with open(self.path / ".lock", "w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise DepotFault(f"another backup is at work in {self}") from None
            yield

    def names(self, kind: str) -> list[str]:
        return sorted(each.name for each in (self.path / kind).glob("*") if time_of(each.name))

    def begin(self, kind: str, name: str) -> None:
        for left_behind in (self.path / kind).glob(f"*{_UNFINISHED}"):
            shutil.rmtree(left_behind)
        if self._finished(kind, name).exists():
            raise DepotFault(f"{self._finished(kind, name)} is there already")
        self._unfinished(kind, name).mkdir(mode=0o700, parents=True)

    def write(self, kind: str, name: str, service: str, pieces: Iterable[bytes]) -> None:
        path = self._unfinished(kind, name) / f"{service}.dump"
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            for piece in pieces:
                file.write(piece)
            file.flush()
            os.fsync(file.fileno())

    def finish(self, kind: str, name: str) -> None:
        self._unfinished(kind, name).rename(self._finished(kind, name))
        descriptor = os.open(self.path / kind, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def read(self, kind: str, name: str, service: str) -> IO[bytes]:
        return (self._finished(kind, name) / f"{service}.dump").open("rb")

    def delete(self, kind: str, name: str) -> None:
        self._finished(kind, name).rename(self._unfinished(kind, name))
        shutil.rmtree(self._unfinished(kind, name))

    def _finished(self, kind: str, name: str) -> Path:
        return self.path / kind / name

    def _unfinished(self, kind: str, name: str) -> Path:
        return self.path / kind / (name + _UNFINISHED)
