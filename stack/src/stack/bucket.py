"""Backups in a bucket of anything that speaks S3.

An object appears whole or not at all, but nothing makes several appear at once, and nothing can be renamed: beside the
objects of a set, `<kind>/<name>/<service>.dump`, an empty `<kind>/<name>.whole` comes last and goes first.
"""

import io
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import IO, TYPE_CHECKING, cast

import obstore
from obstore.exceptions import BaseError
from obstore.store import S3Store

from stack.depots import DepotFault, name_of, time_of

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer
    from obstore import ReadableFile

_WHOLE = ".whole"
_PART_BYTES = 8 << 20
"""What is in memory at a time, twice. S3 takes 10 000 parts: a file of up to 78 GiB."""
_PARTS_AT_ONCE = 2
_ABANDONED_AFTER = timedelta(days=1)
"""No backup is at work for so long."""

_URL = re.compile(
    r"s3://(?P<bucket>[a-z0-9][a-z0-9.-]{1,61}[a-z0-9])(/(?P<prefix>\w[\w.-]*(/\w[\w.-]*)*))?/?", re.ASCII
)
_ENDPOINT = re.compile(r"https?://([\w.-]+|\[[\da-f:]+\])(:\d+)?/?", re.IGNORECASE)
_ENDPOINTS = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT")


@dataclass(frozen=True)
class Patience:
    """How long a bucket is waited for."""

    connect_seconds: float = 5
    request_seconds: float = 120
    """What takes longer for a part, less than 1 Mbit/s, is taken for broken."""
    retries: int = 5
    retry_seconds: float = 180


class Bucket:
    """A part of a bucket, `s3://bucket/prefix`.

    Backups do not shut each other out there. A lock that no kernel lets go of must expire, and one that expires is held
    by two some day: they must do each other no harm anyway. Each writes under the second it began, and what it leaves
    behind is cleared away a day later.
    """

    def __init__(self, store: S3Store, called: str) -> None:
        self._store = store
        self._called = called

    @classmethod
    def at(cls, url: str, environ: Mapping[str, str], patience: Patience = Patience()) -> "Bucket":
        """With the endpoint, region and credentials of the standard AWS_… variables. Nothing is asked yet."""
        parts = _URL.fullmatch(url)
        if not parts:
            raise DepotFault("backups go to a folder or to s3://bucket/prefix, without credentials in it")
        endpoint = next((environ[name] for name in _ENDPOINTS if environ.get(name)), "")
        if endpoint and not _ENDPOINT.fullmatch(endpoint):
            raise DepotFault("the endpoint of AWS_ENDPOINT_URL is not http(s)://host:port, without credentials in it")
        with _faults_of(url):
            store = S3Store(
                parts["bucket"],
                prefix=parts["prefix"],
                # Not every endpoint knows how to delete several objects at once.
                config={"disable_bulk_delete": True},
                client_options={
                    "allow_http": endpoint.lower().startswith("http:"),
                    "connect_timeout": timedelta(seconds=patience.connect_seconds),
                    "timeout": timedelta(seconds=patience.request_seconds),
                },
                retry_config={
                    "max_retries": patience.retries,
                    "retry_timeout": timedelta(seconds=patience.retry_seconds),
                },
            )
        return cls(store, f"{url} at {endpoint}" if endpoint else url)

    def __str__(self) -> str:
        return self._called

    @contextmanager
    def alone(self) -> Iterator[None]:
        yield

    def names(self, kind: str) -> list[str]:
        begun, finished = self._sets(kind)
        return sorted(begun & finished)

    def begin(self, kind: str, name: str) -> None:
        begun, finished = self._sets(kind)
        if name in finished or self._objects(kind, name):
            raise DepotFault(f"{kind}/{name} is already in {self}")
        oldest_at_work = name_of(cast(datetime, time_of(name)) - _ABANDONED_AFTER)
        for left_behind in begun - finished:
            if left_behind < oldest_at_work:
                self.delete(kind, left_behind)

    def write(self, kind: str, name: str, service: str, pieces: Iterable[bytes]) -> None:
        with self._faults():
            obstore.put(
                self._store,
                f"{kind}/{name}/{service}.dump",
                pieces,
                use_multipart=True,
                chunk_size=_PART_BYTES,
                max_concurrency=_PARTS_AT_ONCE,
            )

    def finish(self, kind: str, name: str) -> None:
        with self._faults():
            obstore.put(self._store, f"{kind}/{name}{_WHOLE}", b"")

    @contextmanager
    def read(self, kind: str, name: str, service: str) -> Iterator[IO[bytes]]:
        with self._faults():
            reader = obstore.open_reader(self._store, f"{kind}/{name}/{service}.dump", buffer_size=_PART_BYTES)
            yield io.BufferedReader(_Object(reader))

    def delete(self, kind: str, name: str) -> None:
        with self._faults():
            obstore.delete(self._store, f"{kind}/{name}{_WHOLE}")
            obstore.delete(self._store, self._objects(kind, name))

    def _objects(self, kind: str, name: str) -> list[str]:
        with self._faults():
            return [each["path"] for each in obstore.list(self._store, f"{kind}/{name}").collect()]

    def _sets(self, kind: str) -> tuple[set[str], set[str]]:
        """Those of which there is something, and those that were finished."""
        with self._faults():
            listed = obstore.list_with_delimiter(self._store, kind)
        begun = {path.removeprefix(f"{kind}/") for path in listed["common_prefixes"]}
        marks = [each["path"] for each in listed["objects"] if each["path"].endswith(_WHOLE)]
        finished = {path.removeprefix(f"{kind}/").removesuffix(_WHOLE) for path in marks}
        return {name for name in begun if time_of(name)}, {name for name in finished if time_of(name)}

    def _faults(self) -> AbstractContextManager[None]:
        return _faults_of(str(self))


class _Object(io.RawIOBase):
    """What Python's own buffers read from."""

    def __init__(self, reader: "ReadableFile") -> None:
        self._reader = reader

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: "WriteableBuffer") -> int:
        view = memoryview(buffer)
        piece = self._reader.read(len(view))
        view[: len(piece)] = piece
        return len(piece)


@contextmanager
def _faults_of(what: str) -> Iterator[None]:
    try:
        yield
    except (BaseError, FileNotFoundError) as error:
        raise DepotFault(f"{what}: {_reason(str(error))}") from None


def _reason(error: str) -> str:
    """What the library says on a page, in a sentence."""
    if "/latest/api/token" in error:  # where machines of AWS ask for theirs, when nobody gave any
        return "there are no credentials: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
    if answer := re.search(r"<Code>(\w+)</Code>(?:\s*<Message>([^<]*))?", error):
        return ": ".join(part.strip() for part in answer.groups() if part)
    if missing := re.match(r"Object at location (\S+) not found", error):
        return f"there is no {missing[1]}"
    if status := re.search(r"status code: (\d+ [\w ]+)", error):
        return f"it answers {status[1]}"
    if "kind: Timeout" in error:
        return "it does not answer in time"
    if cause := re.search(r'(?:message|error): "([^"]+)"', error):
        return f"it cannot be reached: {cause[1]}"
    if refusal := re.search(r"error: (Invalid\w+)\(\s*(\w+)", error):
        return f"TLS fails: {refusal[1]}, {refusal[2]}"
    return error.partition("\n")[0].rpartition(" - ")[2]
