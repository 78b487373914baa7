"""`python -m billing serve | migrate | grant | audit`."""

import argparse
from uuid import UUID

from servicekit.cli import Command, main
from servicekit.clock import SystemClock
from servicekit.postgres import open_database

from billing import operations
from billing.app import MIGRATIONS, serve
from billing.settings import Settings


async def _grant(settings: Settings, arguments: argparse.Namespace) -> int:
    clock = SystemClock(settings.clock_offset_file)
    async with open_database(settings.worker_dsn, settings.service, max_connections=1) as worker:
        try:
            period = await operations.grant(worker, clock, arguments.person, arguments.plan, arguments.days)
        except operations.NoSuchPlan as error:
            print(error)
            return 1
    print(f"granted: {arguments.plan} to {arguments.person} from {period.starts_at} until {period.ends_at}")
    return 0


def _add_grant_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--person", type=UUID, required=True, help="the person's id")
    parser.add_argument("--plan", required=True, help="a plan of the catalogue, for instance premium")
    parser.add_argument("--days", type=_days, required=True, help="for how long, after what they have already")


def _days(value: str) -> int:
    if not value.isdecimal() or not 1 <= int(value) <= 3_660:
        raise argparse.ArgumentTypeError("must be a number from 1 to 3660")
    return int(value)


async def _audit(settings: Settings, _: argparse.Namespace) -> int:
    async with open_database(settings.worker_dsn, settings.service, max_connections=1) as worker:
        violations = await operations.audit(worker)
    for violation in violations:
        print(violation)
    print(f"violations: {len(violations)}")
    return 1 if violations else 0


if __name__ == "__main__":
    main(
        Settings,
        serve,
        MIGRATIONS,
        [
            Command("grant", "give a person days on a plan", _grant, _add_grant_arguments),
            Command("audit", "recompute windows and reservations from the ledger", _audit),
        ],
    )
