"""Billing as its tests meet it: the real operations on a real database, under a clock that the test sets."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

from billing.catalogue import Catalogue, read_catalogue
from billing.operations import Allowances, Held, Housekeeping, audit, grant, publish
from servicekit.postgres import Database, open_database
from stores import ServiceDatabase

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)


@dataclass
class Hands:
    """A clock that is set."""

    time: datetime = NOON

    def now(self) -> datetime:
        return self.time

    def pass_by(self, **time: float) -> None:
        self.time += timedelta(**time)


class Desk:
    """One billing process. Several may stand over one database, and a new one after a restart."""

    def __init__(self, requests: Database, worker: Database, clock: Hands, catalogue: Catalogue) -> None:
        self.requests = requests
        self.worker = worker
        self.clock = clock
        self.allowances = Allowances(requests, clock, catalogue, timedelta(minutes=30))
        self._housekeeping = Housekeeping(clock, request_days=30)

    async def reserve(self, person: UUID, letter: UUID | None = None, request: UUID | None = None) -> Held:
        return await self.allowances.reserve(request or uuid4(), person, letter or uuid4())

    async def use_up(self, person: UUID, letters: int) -> None:
        """Has so many letters delivered."""
        for _ in range(letters):
            held = await self.reserve(person)
            await self.allowances.commit(uuid4(), person, held.reservation.reservation_id)

    async def keep_house(self) -> None:
        """The background jobs, once."""
        async with self.worker.transaction() as connection:
            await self._housekeeping.expire_holds(connection)
            await self._housekeeping.forget_requests(connection)

    async def grant(self, person: UUID, plan: str, days: int) -> None:
        await grant(self.worker, self.clock, person, plan, days)

    async def audit(self) -> list[str]:
        return await audit(self.worker)


@asynccontextmanager
async def open_desk(database: ServiceDatabase, clock: Hands, catalogue: Catalogue | None = None) -> AsyncIterator[Desk]:
    catalogue = catalogue or read_catalogue()
    async with AsyncExitStack() as stack:
        requests = await stack.enter_async_context(open_database(database.requests_url, "billing"))
        worker = await stack.enter_async_context(open_database(database.worker_url, "billing", max_connections=4))
        await publish(catalogue, worker, clock)
        yield Desk(requests, worker, clock, catalogue)
