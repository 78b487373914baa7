"""Hot statements keep their plans when tables have grown, and roles can do no more than they need."""

import json
from collections.abc import AsyncIterator, Iterator
from typing import Any, cast
from uuid import UUID

import asyncpg
import pytest
from gateway import store
from gateway.conversation import Stage
from gateway_house import BOT_ID, House, open_house
from servicekit.postgres import Connection
from stores import ServiceDatabaseFactory

OLD_UPDATES = 20_000


@pytest.fixture
async def house(service_database: ServiceDatabaseFactory, redis_url: str) -> AsyncIterator[House]:
    async with open_house(await service_database("gateway"), redis_url) as opened:
        yield opened


class Explainer:
    """Stands in for a connection: it asks for the plan of whatever it is to fetch."""

    def __init__(self, connection: "asyncpg.Connection[asyncpg.Record]") -> None:
        self._connection = connection
        self.plans: list[Any] = []

    async def fetch(self, statement: str, *values: Any) -> list[Any]:
        self.plans.append(json.loads(await self._connection.fetchval(f"EXPLAIN (FORMAT json) {statement}", *values)))
        return []


def scans(plan: Any) -> Iterator[str]:
    """Tables that a plan reads from end to end."""
    if isinstance(plan, list):
        for each in plan:
            yield from scans(each)
    elif isinstance(plan, dict):
        if plan.get("Node Type") == "Seq Scan":
            yield plan["Relation Name"]
        for value in plan.values():
            if isinstance(value, dict | list):
                yield from scans(value)


async def test_what_is_done_does_not_slow_down_what_waits(house: House) -> None:
    await house.superuser.execute(
        """INSERT INTO people (person_id, telegram_id, first_name, language, created_at, last_activity_at)
           SELECT gen_random_uuid(), n, '', 'ru', now(), now() FROM generate_series(1, 5000) AS n"""
    )
    await house.superuser.execute(
        """INSERT INTO chats (bot_id, chat_id, person_id, stage, details, updated_at)
           SELECT $1, telegram_id, person_id, 'ready', '{}', now() FROM people""",
        BOT_ID,
    )
    await house.superuser.execute(
        """INSERT INTO inbox (bot_id, update_id, telegram_id, traceparent, received_at, available_at, done_at)
           SELECT $1, n, n % 5000, '', now(), now(), CASE WHEN n % 1000 <> 0 THEN now() END
           FROM generate_series(1, $2::int) AS n""",
        BOT_ID,
        OLD_UPDATES,
    )
    await house.superuser.execute(
        """INSERT INTO deliveries (letter_id, version, bot_id, chat_id, person_id, step, traceparent, created_at,
                                   ended_at)
           SELECT gen_random_uuid(), 0, $1, telegram_id, person_id,
                  CASE WHEN telegram_id % 500 = 0 THEN 'following' ELSE 'ended' END, '', now(), now()
           FROM people""",
        BOT_ID,
    )
    await house.superuser.execute("ANALYZE")
    explainer = Explainer(house.superuser)
    connection = cast("Connection", explainer)
    await store.lease_updates(connection, BOT_ID, "gateway-1", 16, 25)
    await store.waiting_updates(connection, BOT_ID, 7, 40)
    await store.open_deliveries(connection, BOT_ID, [])
    assert len(explainer.plans) == 3
    for plan in explainer.plans:
        assert list(scans(plan)) == []


async def test_a_person_reaches_only_their_own_rows(house: House) -> None:
    first, second = UUID(int=1), UUID(int=2)
    for number, person_id in enumerate((first, second), start=1):
        await house.superuser.execute(
            """INSERT INTO people (person_id, telegram_id, first_name, language, created_at, last_activity_at)
               VALUES ($1, $2, '', 'ru', now(), now())""",
            person_id,
            number,
        )
        await house.superuser.execute(
            """INSERT INTO chats (bot_id, chat_id, person_id, stage, details, updated_at)
               VALUES ($1, $2, $3, $4, '{}', now())""",
            BOT_ID,
            number,
            person_id,
            Stage.READY,
        )
    requests, _ = (await house.process()).databases
    async with requests.transaction(first) as connection:
        assert [row["chat_id"] for row in await connection.fetch("SELECT chat_id FROM chats")] == [1]
        assert await connection.execute("UPDATE chats SET stage = 'wish'") == "UPDATE 1"
    async with requests.connection() as connection:
        for table in ("people", "chats", "acquisition_channels", "deliveries"):
            assert await connection.fetchval(f"SELECT count(*) FROM {table}") == 0  # noqa: S608  # names of ours
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        async with requests.transaction(first) as connection:
            await connection.execute(
                "INSERT INTO consents (person_id, kind, version, given, answered_at) "
                "VALUES ($1, 'marketing', '1', true, now())",
                second,
            )


@pytest.mark.parametrize(
    "statement",
    ["DELETE FROM consents", "UPDATE consents SET given = true", "CREATE TABLE more ()", "DELETE FROM people"],
)
async def test_neither_role_can_rewrite_the_past_or_the_schema(house: House, statement: str) -> None:
    for database in (await house.process()).databases:
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            async with database.connection() as connection:
                await connection.execute(statement)
