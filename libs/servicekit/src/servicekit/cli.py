"""The command line every service has: `python -m <service> serve | migrate | …`."""

import argparse
import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

import uvloop

from servicekit.migrations import MigrationFault, migrate
from servicekit.settings import SchemaSettings, ServiceSettings, load

S = TypeVar("S", bound=ServiceSettings)


@dataclass(frozen=True)
class Command(Generic[S]):
    """One of a service's own commands. `run` gives the exit code."""

    name: str
    help: str
    run: Callable[[S, argparse.Namespace], Awaitable[int]]
    add_arguments: Callable[[argparse.ArgumentParser], None] = lambda _: None


def main(
    settings: type[S],
    serve: Callable[[S], Awaitable[None]],
    migrations: Path,
    commands: Sequence[Command[S]] = (),
    argv: Sequence[str] | None = None,
) -> None:
    """Parses the command line, reads the settings and runs the command; exits with its code."""

    async def run_serve(found: S, _: argparse.Namespace) -> int:
        await serve(found)
        return 0

    every = [Command("serve", "answer calls until SIGTERM", run_serve), *commands]
    parser = argparse.ArgumentParser(
        prog=f"python -m {settings.service}",
        description="Settings come from the environment; faults are named at start.",
    )
    subparsers = parser.add_subparsers(dest="command", required=True)
    migrating = subparsers.add_parser(
        "migrate", help="bring the schema to this program's version, then exit; needs the owner only"
    )
    migrating.add_argument("--wait-seconds", type=float, default=0, help="how long Postgres may take to be there")
    for command in every:
        command.add_arguments(subparsers.add_parser(command.name, help=command.help))
    arguments = parser.parse_args(argv)
    try:
        if arguments.command == "migrate":
            code = uvloop.run(_migrate(settings.service, migrations, arguments.wait_seconds))
        else:
            chosen = next(command for command in every if command.name == arguments.command)
            code = uvloop.run(_run(chosen, load(settings), arguments))
    except MigrationFault as fault:
        raise SystemExit(f"{settings.service}: {fault}") from None
    except (OSError, TimeoutError) as error:
        raise SystemExit(f"{settings.service}: {arguments.command} failed: {error}") from None
    except (KeyboardInterrupt, asyncio.CancelledError):
        code = 130
    raise SystemExit(code)


async def _run(command: Command[S], settings: S, arguments: argparse.Namespace) -> int:
    return await command.run(settings, arguments)


async def _migrate(service: str, migrations: Path, wait_seconds: float) -> int:
    found: SchemaSettings = load(type("MigrationSettings", (SchemaSettings,), {"service": service}))
    version = await migrate(found.owner_dsn, service, migrations, wait_seconds)
    print(f"{service}: schema at version {version}")
    return 0
