"""After a letter has ended its reservation is committed or released at billing, tried again until that holds."""

import asyncio

from prometheus_client import Counter, Gauge
from servicekit import telemetry
from servicekit.clock import Clock
from servicekit.postgres import Database

from generation import store
from generation.allowance import RETRY_SECONDS, Allowance, Settlement
from generation.store import Due

SETTLE_SECONDS = 1.0
"""From one look for what is due to the next; what this process ended itself wakes it."""
_AT_ONCE = 50

_settled = Counter("pismo_generation_settlements", "Reservations resolved at billing", ["settlement"])
_oldest = Gauge("pismo_generation_settlements_oldest_seconds", "For how long billing has not resolved an ended letter")


class Settler:
    """Resolves what is due, here or left over by a process that died."""

    def __init__(self, worker: Database, allowance: Allowance) -> None:
        self._worker = worker
        self._allowance = allowance
        self.due = asyncio.Event()
        """Set when this process has made something due."""

    async def settle(self, due: Due) -> None:
        """Resolves one reservation whose time the caller has taken; `run_once` comes back to it if billing is away."""
        settlement = await self._allowance.resolve(due)
        if settlement is not None:
            await self._keep([(due, settlement)])

    async def run_once(self) -> bool:
        """Resolves what is due now. True when there may be more."""
        async with self._worker.connection() as connection:
            found = await store.due_settlements(connection, _AT_ONCE)
        if not found:
            return False
        settlements = await asyncio.gather(*map(self._resolve, found))
        await self._keep([(due, done) for due, done in zip(found, settlements, strict=True) if done is not None])
        undecided = [due.letter_id for due, done in zip(found, settlements, strict=True) if done is None]
        if undecided:
            async with self._worker.connection() as connection:
                await store.settle_later(connection, undecided, RETRY_SECONDS)
        return len(found) == _AT_ONCE and not undecided

    async def measure(self, clock: Clock) -> None:
        async with self._worker.connection() as connection:
            since = await store.unsettled_since(connection)
        _oldest.set((clock.now() - since).total_seconds() if since else 0)

    async def _resolve(self, due: Due) -> Settlement | None:
        with telemetry.span("settle letter", parent=telemetry.parent(due.traceparent)):
            return await self._allowance.resolve(due)

    async def _keep(self, settled: list[tuple[Due, Settlement]]) -> None:
        if settled:
            async with self._worker.connection() as connection:
                await store.settle(connection, [due.letter_id for due, _ in settled], [done for _, done in settled])
        for _, settlement in settled:
            _settled.labels(settlement).inc()
