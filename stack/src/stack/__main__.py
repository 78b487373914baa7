"""The command line: `python -m stack up | reset | postgres | redis`."""

import argparse
import asyncio
import os
import sys
from pathlib import Path

import asyncpg

from stack.demo import DemoFault, keep_postgres, keep_redis
from stack.home import Home, HomeFault
from stack.postgres import PostgresFault
from stack.supervisor import up


def main() -> int:
    """Gives the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m stack",
        description="Pismo on one machine. PISMO_HOME (default .pismo) is the folder where it keeps everything.",
    )
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("up", help="run stores, services and sandbox in the foreground until Ctrl-C")
    commands.add_parser("reset", help="delete PISMO_HOME: data, secrets and logs")
    for name, port, keeps in (("postgres", 5432, "every service's roles and schemas"), ("redis", 6379, "a password")):
        store = commands.add_parser(name, help=f"run this embedded store alone, with {keeps}, until SIGTERM")
        store.add_argument("--data", type=Path, required=True, help="the folder of its data")
        store.add_argument("--listen", default="127.0.0.1", help="the address to listen on (default %(default)s)")
        store.add_argument("--port", type=int, default=port, help="default %(default)s")
    arguments = parser.parse_args()
    match arguments.command:
        case "up":
            return asyncio.run(up(os.environ))
        case "reset":
            return _reset()
        case name:
            return _keep(name, arguments)


def _reset() -> int:
    home = Home.of(os.environ)
    try:
        home.forget()
    except HomeFault as fault:
        print(f"make reset: {fault}", file=sys.stderr)
        return 1
    print(f"forgotten: {home.folder}")
    return 0


def _keep(name: str, arguments: argparse.Namespace) -> int:
    keep = keep_postgres if name == "postgres" else keep_redis
    try:
        asyncio.run(keep(os.environ, arguments.data, arguments.listen, arguments.port))
    except (DemoFault, PostgresFault, RuntimeError, OSError, asyncpg.PostgresError) as fault:
        print(f"stack {name}: {fault}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
