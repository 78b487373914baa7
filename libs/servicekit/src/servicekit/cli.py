"""The command line every service has: `python -m <service> serve | migrate | …`."""

import argparse
import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

import uvloop

from servicekit.migrations import MigrationFault, migrate
from servicekit.settings import ServiceSettings, load

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

    async def run_migrate(found: S, _: argparse.Namespace) -> int:
        version = await migrate(found.owner_dsn, found.service, migrations)
        print(f"{found.service}: schema at version {version}")
        return 0

    every = [
        Command("serve", "answer calls until SIGTERM", run_serve),
        Command("migrate", "bring the schema to this program's version, then exit", run_migrate),
        *commands,
    ]
    parser = argparse.ArgumentParser(
        prog=f"python -m {settings.service}",
        description="Settings come from the environment; faults are named at start.",
    )
    subparsers = parser.add_subparsers(dest="command", required=True)
    for command in every:
        command.add_arguments(subparsers.add_parser(command.name, help=command.help))
    arguments = parser.parse_args(argv)
    chosen = next(command for command in every if command.name == arguments.command)
    try:
        code = uvloop.run(_run(chosen, load(settings), arguments))
    except MigrationFault as fault:
        raise SystemExit(f"{settings.service}: {fault}") from None
    except (OSError, TimeoutError) as error:
        raise SystemExit(f"{settings.service}: {chosen.name} failed: {error}") from None
    except (KeyboardInterrupt, asyncio.CancelledError):
        code = 130
    raise SystemExit(code)


async def _run(command: Command[S], settings: S, arguments: argparse.Namespace) -> int:
    return await command.run(settings, arguments)
