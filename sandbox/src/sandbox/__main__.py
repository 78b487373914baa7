"""`python -m sandbox`: plays Telegram until SIGINT or SIGTERM."""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import signal
import sqlite3
import sys

from sandbox.app import serving
from sandbox.settings import Settings, SettingsError

_ENVIRONMENT = """\
environment:
  SANDBOX_HOST         address to listen on (default 127.0.0.1: this machine only)
  SANDBOX_PORT         port to listen on (default 8090)
  SANDBOX_STATE_FILE   SQLite file that keeps chats, files and waiting updates (default: memory)
  SANDBOX_BOT_NAME     what bots are called until they set a name (default Pismo)
  CLOCK_OFFSET_FILE    file with seconds to add to the clock, read again each second
"""


async def _serve(settings: Settings) -> None:
    stopped = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    async with serving(settings) as url:
        print(f"sandbox: chat page at {url}/, Bot API at {url}/bot<token>/<method>", flush=True)
        await stopped.wait()


def main() -> int:
    """Exit code 0 after a stop, 2 for wrong settings, 1 when the address or the state file cannot be used."""
    argparse.ArgumentParser(
        prog="python -m sandbox",
        description="Plays the Telegram Bot API and shows the chat as a web page.",
        epilog=_ENVIRONMENT,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    ).parse_args()
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    try:
        settings = Settings.from_environment(os.environ)
    except SettingsError as faults:
        print(faults, file=sys.stderr)
        return 2
    try:
        asyncio.run(_serve(settings))
    except sqlite3.Error as error:
        print(f"sandbox: cannot use SANDBOX_STATE_FILE {settings.state_file}: {error}", file=sys.stderr)
        return 1
    except OSError as error:
        print(f"sandbox: cannot listen on {settings.host}:{settings.port}: {error.strerror}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
