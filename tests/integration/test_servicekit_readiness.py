"""A service waits for its database, whatever is the matter with it, and says what it waits for."""

from collections.abc import Awaitable, Callable

import asyncpg
import pytest
from servicekit.migrations import MigrationFault, check_schema
from servicekit.postgres import open_database
from stores import ServiceDatabase

Make = Callable[[str], Awaitable[ServiceDatabase]]


async def test_a_schema_that_is_there_or_newer_is_fine(service_database: Make) -> None:
    made = await service_database("billing")
    async with open_database(made.requests_url, "billing") as database:
        await check_schema(database, 1)


async def test_an_older_schema_is_named_with_what_to_do(service_database: Make) -> None:
    made = await service_database("billing")
    async with open_database(made.requests_url, "billing") as database:
        with pytest.raises(MigrationFault, match="needs 9999: run `migrate`"):
            await check_schema(database, 9_999)


@pytest.mark.parametrize("matter", ["missing", "closed", "wrong password"])
async def test_a_database_that_lets_nobody_in_is_waited_for(service_database: Make, matter: str) -> None:
    made = await service_database("billing")
    url = made.requests_url
    if matter == "missing":
        url = url.rpartition("/")[0] + "/nowhere"
    elif matter == "wrong password":
        url = url.replace("billing_requests", "nobody_we_know")
    else:
        server = await asyncpg.connect(made.superuser_url)
        name = await server.fetchval("SELECT current_database()")
        await server.execute(f'REVOKE CONNECT ON DATABASE "{name}" FROM billing_requests, PUBLIC')
        await server.close()
    async with open_database(url, "billing") as database:
        with pytest.raises(MigrationFault, match="does not let us in"):
            await check_schema(database, 1)
