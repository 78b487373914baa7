"""`python -m analytics serve | migrate | report`."""

import argparse

from servicekit.cli import Command, main
from servicekit.migrations import check_schema, read_migrations
from servicekit.postgres import open_database

from analytics.app import MIGRATIONS, serve
from analytics.operations import read_views
from analytics.report import render
from analytics.settings import Settings


async def _report(settings: Settings, _: argparse.Namespace) -> int:
    async with open_database(settings.worker_dsn, settings.service, max_connections=1) as worker:
        await check_schema(worker, read_migrations(MIGRATIONS)[-1].version)
        print(render(await read_views(worker)))
    return 0


if __name__ == "__main__":
    main(Settings, serve, MIGRATIONS, [Command("report", "print the six views", _report)])
