"""How a text that grows in one process is watched in another.

The process that writes puts the checked text so far into Redis, or into the version's row where Redis is away; each
process that is watched reads for all its watchers at once. Both sides do so twice a second, in one round trip each.
What is kept is sealed with the person's key. Whole texts travel, so a lost one costs nothing but its moment.
"""

import asyncio
import contextlib
import itertools
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass, field
from typing import cast
from uuid import UUID

import structlog
from redis.asyncio import Redis
from servicekit.keys import CannotDecrypt, Cipher
from servicekit.postgres import STORE_ERRORS, Database

from generation import places, store
from generation.errors import LetterNotFound
from generation.letters import (
    Cancelled,
    Completed,
    Failed,
    Failure,
    Look,
    Queued,
    State,
    Writing,
    revisions_left,
)
from generation.queue import Queue
from generation.shared import Shared
from generation.store import Lease, Watched

LOOK_SECONDS = 0.5
LIVE_SECONDS = 120
"""How long Redis keeps a text so far; a writing model is never silent for so long."""
_SEQUENCE_BYTES = 8

Version = tuple[UUID, int]

log = structlog.get_logger()


class LiveTexts:
    """The texts so far of what this process writes."""

    def __init__(self, shared: Shared, worker: Database) -> None:
        self._shared = shared
        self._worker = worker
        self._changed: dict[Lease, tuple[Cipher, str]] = {}
        self._sequence = itertools.count(1)

    def put(self, lease: Lease, cipher: Cipher, text: str) -> None:
        """Notes a new text so far; the next `flush` sends it."""
        self._changed[lease] = (cipher, text)

    def forget(self, lease: Lease) -> None:
        self._changed.pop(lease, None)

    async def run(self) -> None:
        """Sends what has changed, twice a second, until cancelled."""
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            await self.flush()

    async def flush(self) -> None:
        """Sends what has changed since the last time."""
        changed, self._changed = self._changed, {}
        if not changed:
            return
        number = next(self._sequence).to_bytes(_SEQUENCE_BYTES, "big")
        sealed = [
            (lease, cipher.seal(number + text.encode(), places.live(*lease)))
            for lease, (cipher, text) in changed.items()
        ]

        async def send(redis: Redis) -> bool:
            async with redis.pipeline(transaction=False) as pipeline:
                for lease, live in sealed:
                    pipeline.set(_key(*lease), live, ex=LIVE_SECONDS)
                await pipeline.execute()
            return True

        if await self._shared.ask(send) is None:
            try:
                async with self._worker.connection() as connection:
                    await store.keep_live(connection, sealed)
            except STORE_ERRORS as error:
                log.warning("no store takes the texts so far", exc_info=error)


@dataclass(eq=False)
class _Watcher:
    cipher: Cipher
    look: Look | None = None
    lease_number: int = 0
    gone: bool = False
    news: asyncio.Event = field(default_factory=asyncio.Event)


class Hub:
    """Looks at all watched versions together and tells each watcher what is new."""

    def __init__(self, worker: Database, shared: Shared, queue: Queue, stopping: asyncio.Event) -> None:
        self._worker = worker
        self._shared = shared
        self._queue = queue
        self._stopping = stopping
        self._watchers: dict[Version, set[_Watcher]] = {}
        self._nudged: set[Version] = set()
        self._wake = asyncio.Event()

    async def watch(self, letter_id: UUID, number: int, cipher: Cipher) -> AsyncIterator[Look]:
        """The version's looks: one at once, then each that differs, until it has ended.

        A slow reader gets the newest and misses those between. Raises LetterNotFound if the version goes away.
        """
        watcher = _Watcher(cipher)
        watchers = self._watchers.setdefault((letter_id, number), set())
        watchers.add(watcher)
        self.nudge(letter_id, number)
        try:
            while True:
                await watcher.news.wait()
                watcher.news.clear()
                if watcher.gone or watcher.look is None:
                    raise LetterNotFound(letter_id)
                look = watcher.look
                yield look
                if isinstance(look, Completed | Failed | Cancelled):
                    return
        finally:
            watchers.discard(watcher)
            if not watchers and self._watchers.get((letter_id, number)) is watchers:
                del self._watchers[letter_id, number]

    def nudge(self, letter_id: UUID, number: int) -> None:
        """Has the version looked at now: something happened to it in this process."""
        if (letter_id, number) in self._watchers:
            self._nudged.add((letter_id, number))
            self._wake.set()

    async def run(self) -> None:
        """Looks at everything twice a second and at what was nudged at once, until nobody watches a stopping process.

        In a stopping process every watcher is told again what it knows: its stream ends with that look, and its reader
        goes on elsewhere.
        """
        loop = asyncio.get_running_loop()
        next_at = loop.time()
        while self._watchers or not self._stopping.is_set():
            if loop.time() >= next_at:
                next_at = loop.time() + LOOK_SECONDS
                versions: Iterable[Version] = self._watchers
            else:
                versions = self._nudged
            try:
                await self._look({version: list(self._watchers.get(version, ())) for version in versions})
            except STORE_ERRORS as error:
                log.warning("cannot look at what is watched", exc_info=error)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout_at(next_at):
                    await self._wake.wait()
            self._wake.clear()

    async def _look(self, watched: dict[Version, list[_Watcher]]) -> None:
        # The watchers were listed before the read: one that came during it wants a later look.
        self._nudged = set()
        watched = {version: watchers for version, watchers in watched.items() if watchers}
        if not watched:
            return
        async with self._worker.connection() as connection:
            found = await store.watch(connection, list(watched))
        live = await self._live([each for each in found if each.state is State.WRITING])
        for each in found:
            for watcher in watched.pop((each.letter_id, each.number)):
                self._tell(watcher, each, live.get(_key(each.letter_id, each.number, each.lease_number)))
        for watchers in watched.values():
            for watcher in watchers:
                watcher.gone = True
                watcher.news.set()

    async def _live(self, writing: list[Watched]) -> dict[str, bytes]:
        keys = [_key(each.letter_id, each.number, each.lease_number) for each in writing]
        if not keys:
            return {}

        async def read(redis: Redis) -> list[bytes | None]:
            return cast(list[bytes | None], await redis.mget(keys))

        values = await self._shared.ask(read) or [None] * len(keys)
        return {key: value for key, value in zip(keys, values, strict=True) if value is not None}

    def _tell(self, watcher: _Watcher, found: Watched, live: bytes | None) -> None:
        try:
            look = self._look_at(watcher, found, live)
        except CannotDecrypt:
            # The person's key went while this was read: so has the letter, for whoever looks next.
            watcher.gone = True
            watcher.news.set()
            return
        watcher.lease_number = found.lease_number
        if look != watcher.look or self._stopping.is_set():
            watcher.look = look
            watcher.news.set()

    def _look_at(self, watcher: _Watcher, found: Watched, live: bytes | None) -> Look:
        match found.state:
            case State.COMPLETED:
                text = watcher.cipher.open_text(found.text or b"", places.text(found.letter_id, found.number))
                left = revisions_left(found.newest_number, found.newest_state)
                return Completed(text, found.model or "", left)
            case State.FAILED:
                return Failed(Failure(found.failure_reason or Failure.INTERNAL))
            case State.CANCELLED:
                return Cancelled()
            case State.WRITING:
                text = self._newest_text(watcher, found, live)
                if text or not found.models_unavailable:
                    return Writing(text)
                return Queued(1, 0, models_unavailable=True)
            case _:
                eta = 0 if found.models_unavailable else self._queue.eta_seconds(found.position)
                return Queued(max(1, found.position), eta, found.models_unavailable)

    @staticmethod
    def _newest_text(watcher: _Watcher, found: Watched, live: bytes | None) -> str:
        """The newer of what Redis and the row hold; where neither holds any, what the watcher knows of this lease."""
        place = places.live(found.letter_id, found.number, found.lease_number)
        opened = [watcher.cipher.open(sealed, place) for sealed in (live, found.live) if sealed]
        if opened:
            return max(opened)[_SEQUENCE_BYTES:].decode()
        if isinstance(watcher.look, Writing) and watcher.lease_number == found.lease_number:
            return watcher.look.text
        return ""


def _key(letter_id: UUID, number: int, lease_number: int) -> str:
    return f"generation:live:{letter_id}:{number}:{lease_number}"
