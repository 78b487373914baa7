"""The command line: `python -m stack up | reset`."""

import argparse
import asyncio
import os
import sys

from stack.home import Home, HomeFault
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
    if parser.parse_args().command == "up":
        return asyncio.run(up(os.environ))
    home = Home.of(os.environ)
    try:
        home.forget()
    except HomeFault as fault:
        print(f"make reset: {fault}", file=sys.stderr)
        return 1
    print(f"forgotten: {home.folder}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
